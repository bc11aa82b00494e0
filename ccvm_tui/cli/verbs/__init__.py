"""One module per verb, with the functions ``configure(parser)`` and ``run(args)``, which returns the exit status.

A verb whose last arguments are not parsed also has ``split(arguments)``, which returns the arguments to parse and the
others. The others become ``args.rest``.
"""
