# The NixOS of a guest. The initrd, the guest agent and the mounts are those of every guest (ccvm_tui/image/guest); this
# module only adds what they expect, and removes what a guest does not need.
{
  config,
  lib,
  pkgs,
  ...
}:
{
  system.stateVersion = config.system.nixos.release;

  # The initrd of ccvm-tui mounts the root file system: an overlay of the image and a tmpfs.
  fileSystems."/" = {
    device = "root";
    fsType = "overlay";
  };

  boot = {
    initrd.enable = false;
    loader.grub.enable = false;
    # They are mounted before NixOS starts. Mounting them again would change the limit of the guest's memory.
    specialFileSystems = lib.mkForce { };
  };

  # The guest agent configures the network and the clock, with the settings that the keeper sends.
  networking = {
    hostName = "";
    useDHCP = false;
    dhcpcd.enable = false;
    firewall.enable = false;
    resolvconf.enable = false;
  };
  services.timesyncd.enable = false;

  systemd = {
    oomd.enable = false;
    # the console is a log, and no terminal
    generators.systemd-getty-generator = "/dev/null";
    services."getty@tty1".enable = false;
    services.ccvm-guest-agent = {
      description = "Guest agent of ccvm-tui";
      wantedBy = [ "sysinit.target" ];
      unitConfig.DefaultDependencies = false;
      serviceConfig = {
        ExecStart = "/usr/bin/python3 -I -S -B /usr/lib/ccvm";
        Restart = "always";
        RestartSec = 0;
        # The SSH server and the program server outlive the agent, and a restarted agent finds them.
        KillMode = "process";
        LimitNOFILE = "1024:1048576";
        TasksMax = "infinity";
        OOMScoreAdjust = -1000;
      };
    };
  };

  # sshd runs on the agent's port, so it is not a service of NixOS; this is the user of its unprivileged part.
  users.users.sshd = {
    isSystemUser = true;
    group = "sshd";
    description = "sshd privilege separation user";
  };
  users.groups.sshd = { };

  # The agent writes the rule for the guest's user there.
  security.sudo.extraConfig = ''
    #includedir /etc/sudoers.d
  '';

  # Agent layers contain programs for other distributions, which expect the dynamic loader at its usual path.
  programs.nix-ld.enable = true;

  programs.zsh = {
    enable = true;
    # the files of every guest instead of the defaults of NixOS
    enableGlobalCompInit = false;
    promptInit = "";
    interactiveShellInit = "source /etc/zsh/zshrc";
    loginShellInit = "source /etc/zsh/zprofile";
  };

  documentation.enable = false;

  environment = {
    # The agent adds the entry of the host's terminal to /etc/terminfo, so it must not be a link into the store: the root
    # file system contains a copy. Shells search only the directories of packages, unless they are told otherwise.
    enableAllTerminfo = true;
    etc.terminfo.enable = false;
    extraInit = ''
      export TERMINFO_DIRS=''${TERMINFO_DIRS:+$TERMINFO_DIRS:}/etc/terminfo
    '';

    systemPackages = [
      config.ccvm.guest.python
    ]
    ++ (with pkgs; [
      # shells and common command line tools
      bashInteractive
      file
      htop
      less
      lsof
      ncurses
      procps
      psmisc
      strace
      tmux
      tree
      vim
      # development
      diffutils
      fd
      findutils
      git
      gnumake
      jq
      patch
      ripgrep
      sqlite
      # network
      cacert
      curl
      iproute2
      iputils
      openssh
      rsync
      socat
      # archives
      bzip2
      unzip
      xz
      zstd
      # system administration
      cryptsetup
      e2fsprogs
      kmod
      lvm2
    ])
    ++ config.ccvm.guest.extraPackages;
  };
}
