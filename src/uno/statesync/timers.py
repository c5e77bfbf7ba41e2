"""Times that every cell and the registry must agree on, in seconds."""

from __future__ import annotations

# A node sends its neighbours a hello after this long without another message (HelloInterval of
# RFC 2328, appendix C.3). Hellos are not flooded.
HELLO_INTERVAL = 30.0

# The registry repeats its announcement after this long during a rollout: a cell that has moved what
# carries it confirms only once a new one has arrived, which may be due to no other change.
ROLLOUT_INTERVAL = 3.0

# A neighbour without a new message for this long is not in contact (RouterDeadInterval of RFC 2328,
# appendix C.3): two hellos may be lost, and half an interval is for the way.
MAX_AGE = 75.0

# A cell that is not in contact for this long may begin its sequence anew. Every node has withdrawn
# its relayed copies by then, so that no honest node brings an older one back.
FORGET_AGE = 2 * MAX_AGE

# A node repeats its advertisement after this long if nothing has changed (LSRefreshTime of
# RFC 2328, appendix B), and so often while someone watches what cells measure.
REFRESH_INTERVAL = 1800.0
WATCHED_INTERVAL = 30.0

# Someone who has asked for what cells measure counts as watching for this long.
WATCH_LEASE = 45.0
