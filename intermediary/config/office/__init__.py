"""The officers' pages: desk, approvals, credit lines, default room, recovery, replay.

They read, and they store requests; the commands run in a worker under the same rules as for everyone. They stand in
the composition root because a desk looks at every part at once.
"""
