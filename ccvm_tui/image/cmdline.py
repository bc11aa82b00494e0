"""The image's part of the guest kernel's command line."""

from __future__ import annotations

# Initcalls of a distribution's kernel that a guest does not need, ordered by the time that they take under emulation:
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
        # The host sends the actual seed with ``configure``; no secret is generated before that.
        "random.trust_cpu=on",
        "lsm=landlock,yama",
        f"initcall_blacklist={','.join(_SKIPPED_INITCALLS)}",
    )
)
"""The kernel parameters that do not depend on the machine. The machine adds others, such as the console."""
