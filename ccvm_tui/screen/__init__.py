"""The screen process, which turns the output of sessions into frames, restore bytes and events.

``link`` is the keeper's side of the connection, ``messages`` the protocol, and ``__main__`` the confined process.
"""
