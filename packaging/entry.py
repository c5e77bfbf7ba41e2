"""The executable of the folder that PyInstaller makes: uno, or one of its helpers.

The helpers import no more than they need (`uno.program`): one runs before FRR's daemon, the other
beside each agent.
"""

import os
import sys

from uno.program import BUS_OPTION, COURIER_OPTION, SOCKET_FILTER_OPTION, WEB_OPTION


def main() -> None:
    """Run what the first argument names."""
    if sys.argv[1:2] == [SOCKET_FILTER_OPTION]:
        from uno.host.routing_frr import seccomp_no_socket_filter  # noqa: PLC0415

        seccomp_no_socket_filter.refuse_socket_filters(os.uname().machine)
        os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606
    if sys.argv[1:2] == [BUS_OPTION]:
        from uno.bus.child import main as serve  # noqa: PLC0415

        serve(*sys.argv[2:])
    if sys.argv[1:2] == [WEB_OPTION]:
        from uno.web.server.page_child import main as serve_page  # noqa: PLC0415

        serve_page(*sys.argv[2:])
    if sys.argv[1:2] == [COURIER_OPTION]:
        from uno.notify.courier import main as send  # noqa: PLC0415

        send()
        return
    from uno.cli.main import main as run  # noqa: PLC0415

    run()


main()
