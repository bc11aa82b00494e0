"""The review of a guest's edits on the host: their comparison with the host's files, and their application.

``model``, ``hunks``, ``steps`` and ``refusal`` are pure. ``load`` reads both sides, ``difference`` compares lines,
``beneath`` and ``executor`` access the project without leaving it, ``apply`` and ``undo`` change it, and ``journal``
stores what is needed to undo that.
"""
