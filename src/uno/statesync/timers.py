"""Times that every cell and the registry must agree on, in seconds."""

from __future__ import annotations

# A node repeats its advertisement after this long if nothing has changed (LSRefreshTime of
# RFC 2328, appendix B).
REFRESH_INTERVAL = 30.0

# The registry repeats its announcement after this long during a rollout: a cell that has moved what
# carries it confirms only once a new one has arrived, which may be due to no other change.
ROLLOUT_INTERVAL = 3.0

# A node without a new advertisement for this long counts as gone (MaxAge of RFC 2328, appendix B):
# two refreshes may be lost, and half an interval is for the way.
MAX_AGE = 75.0

# A cell without a new advertisement for this long may begin its sequence anew. Every node has
# withdrawn its relayed copies by then, so that no honest node brings an older one back.
FORGET_AGE = 2 * MAX_AGE
