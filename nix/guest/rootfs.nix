# The root file system of a guest: the store with the closure of its NixOS, the files of every guest, and links at the
# paths that the guest agent and scripts of users expect.
{
  runCommand,
  closureInfo,
  squashfsTools,
  tzdata,
  zsh,
  config,
  busybox,
  builder,
  guestPython,
}:
let
  system = config.system.build.toplevel;
  closure = closureInfo {
    rootPaths = [
      system
      busybox
      tzdata
    ];
  };
in
runCommand "ccvm-guest-rootfs"
  {
    nativeBuildInputs = [
      builder
      squashfsTools
      zsh
    ];
    passthru = { inherit system; };
  }
  ''
    mkdir -p root/nix/store root/usr/bin root/usr/sbin root/usr/share/ccvm root/lib
    mkdir -p root/{dev,etc/sudoers.d,home,opt,proc,root,run,sys,tmp,var/empty} root/usr/local/bin
    xargs cp -a -t root/nix/store <${closure}/store-paths
    cp ${closure}/registration root/nix/registration

    # the guest agent, compiled with the Python that will run it and never checked against its sources
    python3 -c 'import sys; from ccvm_tui.image.guestfiles import as_tar, guest_files
    sys.stdout.buffer.write(as_tar(guest_files()))' | tar -x -C root
    ${guestPython.interpreter} -m compileall -q --invalidation-mode unchecked-hash -s root root/usr/lib/ccvm
    rm root/etc/inittab
    substitute ${./init.sh} root/usr/lib/ccvm/init --subst-var-by system ${system}
    chmod +x root/usr/lib/ccvm/init

    # programs at the usual paths
    for program in ${config.system.path}/bin/*; do
      ln -s "/run/current-system/sw/bin/''${program##*/}" root/usr/bin/
    done
    ln -sf ${busybox}/bin/busybox root/usr/bin/busybox
    ln -sf ${guestPython.interpreter} root/usr/bin/python3
    ln -sf /run/wrappers/bin/sudo root/usr/bin/sudo
    ln -s /run/current-system/sw/bin/sshd root/usr/sbin/sshd
    ln -s /run/current-system/sw/bin/modprobe root/usr/sbin/modprobe
    ln -s /run/current-system/sw/bin/mke2fs root/usr/sbin/mke2fs
    ln -s /usr/bin root/bin
    ln -s /usr/sbin root/sbin
    cp -rL ${config.system.path}/share/terminfo root/etc/terminfo
    chmod -R u+w root/etc/terminfo
    ln -s /etc/terminfo root/usr/share/terminfo
    ln -s ${tzdata}/share/zoneinfo root/usr/share/zoneinfo

    # the completion table of zsh
    dump=root/usr/share/ccvm/zcompdump zsh -f -c '
      fpath=(${config.system.path}/share/zsh/site-functions $fpath)
      autoload -Uz compinit && compinit -C -d $dump && zcompile $dump'

    # lz4 for the same reason as in images of recipes: a boot under emulation mostly reads
    mksquashfs root $out -comp lz4 -all-root -noappend -no-progress -quiet
  ''
