"""The part of the guest kernel's command line that the image decides."""

from __future__ import annotations

# Initcalls of a distribution's kernel that a guest has no use for, by the time they take under emulation:
# certificates for module signatures, self-tests of a jitter RNG and of key derivation, VGA.
_SKIPPED_INITCALLS = (
    "load_system_certificate_list", "jent_mod_init", "crypto_kdf108_init", "bpf_dummy_struct_ops_init",
    "apparmor_nf_ip_init", "vga_arb_device_init",
)  # fmt: skip

CMDLINE = " ".join(
    (
        "quiet",
        "panic=-1",
        "oops=panic",
        "cryptomgr.notests",
        # The seed that counts comes from the host at `configure`; until then nothing secret is drawn.
        "random.trust_cpu=on",
        "lsm=landlock,yama",
        f"initcall_blacklist={','.join(_SKIPPED_INITCALLS)}",
    )
)
"""The part of the kernel's command line that does not depend on the machine. Console and the like come from there."""
