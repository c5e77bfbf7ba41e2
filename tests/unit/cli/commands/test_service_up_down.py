"""What `uno service up` prints of what it could not do."""

from __future__ import annotations

import pytest

from transitions import CROSSED, package_of
from uno.agent.service import UnresolvedLink
from uno.cli.commands import service_up_down


@pytest.mark.feature("F102")
@pytest.mark.feature("G51")
def test_a_host_that_is_up_without_a_link_names_it_and_fails_for_now() -> None:
    missing = UnresolvedLink(interface="uwg-b0", neighbor="c2", name="c2.example.org")

    error = service_up_down._incomplete(package_of(CROSSED), (missing,))

    assert str(error) == (
        "c1 is up without 1 of its 3 links: c2.example.org (c2) cannot be resolved; "
        "check the host's name service; `uno service up` resolves it again"
    )
    assert (error.transient, error.exit_status) == (True, 1)
