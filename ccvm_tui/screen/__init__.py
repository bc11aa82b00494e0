"""The screen process: bytes that sessions print go in; frames, restore bytes and events come out.

`link` is the keeper's side of it, `messages` the words between the two, `__main__` the confined process.
"""
