"""One module per verb: ``configure(parser)`` and ``run(args) -> exit status``.

A verb that passes words on untouched also has ``split(words) -> (ours, theirs)``; theirs come as ``args.rest``.
"""
