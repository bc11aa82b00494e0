"""Sessions: programs in a guest, the clients that show them, and their activity.

``channel`` defines the connection to a program (``ssh_channel`` implements it for a guest, ``local`` for ptys of the
host), ``session`` connects a program to its ``clients``, and ``attention`` determines whether it waits for the user.
"""
