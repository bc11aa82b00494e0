"""The keeper, the process that boots one guest, manages its sessions, and serves clients until the guest ends.

===================  ======================================================================
``__main__``         entry point: reads the LaunchSpec, claims the guest, detaches
``keeper``           Keeper: state and sessions of the guest, from boot to end
``guests``           the interface of a guest, and guests without a virtual machine
``vm``               a guest in a virtual machine
``control``          the control port of the guest agent
``server``           the unix socket: access control, greeting, the four kinds of connection
``requests``         the requests of control connections
``guest_directory``  the guest's directory in the runtime directory, and its lock
``journal``          the log of events, and the record of the guest's end
===================  ======================================================================
"""
