"""The executable of the folder that PyInstaller makes: uno, or the helper of bfdd.

The helper runs before FRR's daemon, so it imports no more than it needs (`uno.program`).
"""

import os
import sys

from uno.program import SOCKET_FILTER_OPTION


def main() -> None:
    """Run what the first argument names."""
    if sys.argv[1:2] == [SOCKET_FILTER_OPTION]:
        from uno.host.routing_frr import seccomp_no_socket_filter  # noqa: PLC0415

        seccomp_no_socket_filter.refuse_socket_filters(os.uname().machine)
        os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606
    from uno.cli.main import main as run  # noqa: PLC0415

    run()


main()
