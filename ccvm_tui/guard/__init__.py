"""The guard: what a guest must not leave in a project, because the host would run it later.

A project is writable, and programs of the host find instructions in it: Git runs hooks and the programs that its
configuration names, direnv runs ``.envrc``, editors run tasks. The file server checks each change that a guest makes
(``ccvm_tui.share.guarded``) with the rules in this package. Nothing in it knows FUSE or the keeper.

==================  =========================================================================
``places``          the files that matter, as data: pattern, check and reason
``checks``          which parts of a file's content are a problem
``config_file``     a parser of Git's configuration files
``config_keys``     the entries of a Git configuration that are harmless, as data
``quarantine``      what was blocked or noticed, kept in the state directory
``install``         puts what the user has allowed into the project
``git``             builds the commands with which the program itself runs Git
==================  =========================================================================
"""
