# The settings of config.toml as options: for each option the name of the setting, its type and its default. A test
# compares this table with ccvm_tui/config/settings.py.
{ lib }:
let
  inherit (lib) types;

  row = setting: type: default: description: {
    inherit
      setting
      type
      default
      description
      ;
  };

  word = types.strMatching "[a-z0-9][a-z0-9._-]*";
  path = types.strMatching "([/~].*)?";
  url = types.strMatching "((https://[^[:space:]/]|file:///)[^[:space:]]*)?";
  publicKey = types.strMatching "([A-Za-z0-9+/]{43}=)?";
  variable = types.strMatching "[A-Za-z_][A-Za-z0-9_]*";
  key = types.strMatching "(ctrl-|alt-)?([!-~]|space|tab|enter|esc|backspace|up|down|left|right|f[1-9]|f1[0-2])";
  leader = types.strMatching "ctrl-([a-z\\^_@]|]|space)";
  host = types.strMatching "[^[:space:]/@]+(/[0-9]{1,3})?(:[0-9]{1,5})?";
  repository = types.strMatching "[a-z0-9][a-z0-9.-]*(:[0-9]{1,5})?(/[A-Za-z0-9_.~-]+)*";
  directory = types.strMatching "[^/].*";
in
{
  # Options that can also be set for a project.
  perProject = {
    memory =
      row "memory" types.ints.positive 4096
        "memory of the guest in MiB, at most the host's memory";
    cores = row "cores" types.ints.positive 4 "number of virtual CPUs, at most the host's";
    acceleration = row "accel" (types.enum [
      "auto"
      "kvm"
      "tcg"
    ]) "auto" "accelerator; auto uses KVM only after a guest has run on it";
    machine = row "machine" (types.enum [
      "microvm"
      "q35"
    ]) "microvm" "QEMU machine type";
    runtime = row "runtime" (types.enum [
      "host"
      "own"
    ]) "host" "QEMU that runs guests: the host's, or ccvm's own, unpacked next to the image";
    writableCwd =
      row "writable_cwd" types.bool true
        "whether the guest may change the project; if not, its edits are kept in memory and lost when it stops";
    localDirs =
      row "local_dirs" (types.listOf directory) [ ]
        "directories below the project that are kept in the guest's memory instead of being shared";
    attemptInclude =
      row "attempt_include" (types.listOf (types.strMatching "[^[:cntrl:]]+")) [ ]
        "untracked files that attempts receive, as patterns like those of .gitignore, besides those in the project's .worktreeinclude";
    agent = row "agent" word "claude" "agent layer of the image, or \"none\" for a shell";
    agentSudo =
      row "agent_sudo" types.bool true
        "whether sudo works without a password in the guest";
    apiKeyVariables = row "api_key_variables" (types.listOf variable) [
      "ANTHROPIC_API_KEY"
      "CLAUDE_CODE_OAUTH_TOKEN"
    ] "environment variables that are passed to the guest's sessions, over SSH only; other agents than claude have their own by default";
    login = row "login" (types.enum [
      "auto"
      "broker"
      "key"
      "none"
    ]) "auto" "use of your logins: broker (the keeper holds them), key (sessions receive API keys) or none; auto is broker unless egress is open";
    loginKeep =
      row "login_keep" types.bool false
        "whether a login made in a guest with the broker is stored on the host, in the agent's own credentials file";
    loginGit =
      row "login_git" (types.listOf repository) [ ]
        "Git hosts, or repositories on them, that the guest uses over HTTPS with the login of your credential helper";
    extraClaudeMd =
      row "extra_claude_md" types.str "built-in"
        "text for the agent about working in a guest, appended to the user's instructions; empty for none; the variable is the path of a file";
    persistClaudeProjects =
      row "persist_claude_projects" types.bool false
        "whether the guest shares ~/.claude/projects with the host, which contains Claude Code's conversations";
    vmDiskSize =
      row "vm_disk_size" (types.ints.between 0 65536) 0
        "size in GiB of an encrypted disk at /scratch, which is lost with the guest; 0 for none";
    lockGuestMemory =
      row "lock_guest_memory" types.bool false
        "whether the guest's memory is locked, so that it is never written to swap";
    network = row "network" (types.enum [
      "user"
      "none"
    ]) "user" "network of the guest: outgoing connections, or none";
    egress = row "egress" (types.enum [
      "auto"
      "open"
      "public"
      "allowlist"
      "ask"
      "none"
    ]) "auto" "hosts that the guest can reach; auto is allowlist if there is an egress_allowlist, and public otherwise";
    egressAllowlist =
      row "egress_allowlist" (types.listOf host) [ ]
        "hosts, addresses and presets that the guest can reach; those of its agent are always reachable";
    egressProxy =
      row "egress_proxy"
        (types.enum [
          "auto"
          "none"
        ]) "auto" "whether connections of guests go through the proxy that http_proxy, https_proxy and no_proxy name";
    egressDenylist =
      row "egress_denylist" (types.listOf host) [ ]
        "hosts and addresses that the guest cannot reach";
    egressPorts = row "egress_ports" (types.listOf (types.ints.between 1 65535)) [ 443 ] "TCP ports of hosts that are listed without a port";
    image = row "image" path "" "recipe (TOML) of the guest image, or the directory of an image; empty for the built-in recipe";
    imageUrl =
      row "image_url" url ""
        "index of an image that is downloaded instead of being built; {version} and {machine} are replaced";
    imageKey = row "image_key" publicKey "" "public Ed25519 key of that index, in base64";
    linger =
      row "linger" types.bool false
        "whether a guest keeps running after its last session has ended";
    scrollback =
      row "scrollback" (types.ints.between 0 1000000) 10000
        "number of scrollback lines kept for each session";
    seccomp =
      row "seccomp" types.bool true
        "whether QEMU and the file server run with system call filters";
    confine =
      row "confine" types.bool true
        "whether Landlock confines QEMU to the image, and the file server to the project";
    requireConfinement =
      row "require_confinement" types.bool false
        "whether a guest is refused if Landlock or system call filters are missing or off";
    guard =
      row "guard"
        (types.enum [
          "block"
          "warn"
          "off"
        ])
        "block"
        "changes of files that the host runs: block those of Git and report the others, report all, or do nothing";
    osc52 = row "osc52" (types.enum [
      "allow"
      "ask"
      "refuse"
    ]) "ask" "what to do when a guest's program copies to your clipboard";
    notifications =
      row "notifications" types.bool true
        "whether your terminal is notified when a session needs you";
    waitingTitles = row "waiting_titles" (types.listOf types.str) [
      "(?i)action required"
      "(?i)approval required"
      "(?i)waiting for you"
      "^✋"
    ] "regular expressions for the titles of programs that are waiting for you";
    share = {
      settings =
        row "share.settings" types.bool true
          "the agent's settings, without keys";
      claudeMd =
        row "share.claude_md" types.bool true
          "the user's instructions for all projects, such as CLAUDE.md";
      keybindings =
        row "share.keybindings" types.bool true
          "key bindings of the agent";
      commands =
        row "share.commands" types.bool true
          "custom commands";
      agents =
        row "share.agents" types.bool true
          "custom subagents";
      skills =
        row "share.skills" types.bool true
          "skills";
      outputStyles =
        row "share.output_styles" types.bool true
          "output styles and themes";
      plugins =
        row "share.plugins" types.bool false
          "installed plugins";
      config =
        row "share.config" types.bool false
          "the directory ~/.claude/config";
      claudeJson =
        row "share.claude_json" types.bool true
          "~/.claude.json without secrets and other projects, so that no question of the first start is repeated";
      gitConfig =
        row "share.git_config" types.bool true
          "the global configuration of Git, without credentials and signing";
    };
    clipboard.images =
      row "clipboard.images" types.bool true
        "whether programs in the guest can read images from your clipboard, but no text";
  };

  # Options that apply to all projects.
  userOnly = {
    leader =
      row "leader" leader "ctrl-\\"
        "the one key that attach and the dashboard do not pass on to the program";
    keys = {
      detach = row "keys.detach" key "d" "leave the session running";
      help = row "keys.help" key "?" "show the keys";
      switch = row "keys.switch" key "space" "find a session by name";
      next = row "keys.next" key "n" "next session";
      previous = row "keys.previous" key "p" "previous session";
      last = row "keys.last" key "tab" "the previously shown session";
      attention = row "keys.attention" key "a" "next session that is waiting for you";
      shell = row "keys.shell" key "c" "new shell in this guest";
      agent = row "keys.agent" key "g" "new agent in this guest";
      zoom = row "keys.zoom" key "z" "give the whole terminal to the session, and back";
      scrollback = row "keys.scrollback" key "[" "read, search and copy the scrollback";
      sidebar = row "keys.sidebar" key "s" "hide or show the sidebar";
      tile = row "keys.tile" key "t" "show sessions side by side";
      page = row "keys.page" key "o" "open the page that a program wants to show";
      end = row "keys.end" key "x" "end the session";
      palette = row "keys.palette" key ":" "command palette";
    };
    theme.name = row "theme.name" word "ccvm" "theme of the dashboard";
  };
}
