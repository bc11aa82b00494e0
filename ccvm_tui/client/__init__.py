"""Clients of keepers: listing, starting, requests and streams, without any knowledge of SSH, QMP or machines.

``listing`` uses only the standard library and no event loop, so that ``ls`` is instant. ``connection`` has lasting
connections, ``spawn`` starts keepers, and ``ends`` reads the records of ended guests.
"""
