# The tests that `nix flake check` runs: those that need neither network, guests nor root.
{
  unit = [
    "tests/config"
    "tests/image/test_digest.py"
    "tests/image/test_guest_agent.py"
    "tests/image/test_initrd_parts.py"
    "tests/image/test_recipe.py"
    "tests/image/test_store.py"
    "tests/image/test_wire.py"
    "tests/screen"
    "tests/share/test_model.py"
    "tests/terminal"
    "tests/test_text.py"
  ];

  # guarantees about the host: what QEMU is started with, and what it may access
  host = [
    "tests/boot/test_images.py"
    "tests/cli/test_output.py"
    "tests/machine/test_argv.py"
    "tests/machine/test_confine.py"
  ];
}
