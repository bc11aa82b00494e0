"""Talking to keepers: find them, start them, ask them, stream from them. Knows no SSH, no QMP, no machine.

``listing`` needs the standard library only and no event loop, so that ``ls`` is instant; ``connection`` is
for everything that lasts, ``spawn`` starts a keeper.
"""
