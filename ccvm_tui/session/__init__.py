"""Sessions: programs in a guest, the terminals and drawings that show them, and what they are up to.

``channel`` says what carries a program (``ssh_channel`` in a guest, ``local`` on this machine's ptys),
``session`` joins one program with its clients, ``clients`` are those, ``attention`` judges who waits for whom.
"""
