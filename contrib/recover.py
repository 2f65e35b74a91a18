#!/usr/bin/python3
"""Prints the keys of an unpacked Holdfast archive: python3 recover.py DIR... SLOT.txt...

DIR: an unpacked base, then its deltas. SLOT.txt: an opened seal slot. Output, a line for each key version:
enclave_id key_id version kind hex. Exits with 0 only if all versions that the archive counts are printed and
match their check values. Needs python3-cryptography, 38 or newer. Formats: formats/keys.md.
"""
import glob, json, os, sys
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

u32 = lambda number: number.to_bytes(4, "big")
lp = lambda text: u32(len(text)) + text.encode("ascii")
hkdf = lambda secret, salt, info, size: HKDF(SHA256(), size, salt, info).derive(secret)

def xaes_open(key, nonce, sealed, aad):  # XAES-256-GCM, c2sp.org: two AES blocks, then AES-GCM
    aes = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
    k1 = int.from_bytes(aes.update(bytes(16)), "big") << 1
    k1 ^= (1 << 128 | 0x87) if k1 >> 128 else 0
    blocks = [int.from_bytes(bytes([0, i]) + b"X\0" + nonce[:12], "big") ^ k1 for i in (1, 2)]
    derived = b"".join(aes.update(block.to_bytes(16, "big")) for block in blocks)
    return AESGCM(derived).decrypt(nonce[12:], sealed, aad)

def read_slot(path, vault, kcvs):  # -> {generation: root}
    title, *lines = open(path, encoding="ascii").read().splitlines()
    slot = dict(line.split(" ") for line in lines)
    generation, root = int(slot["generation"]), bytes.fromhex(slot["root"])
    if title != "holdfast-root-v1" or slot["vault"] != vault.hex():
        raise ValueError(f"not a slot of vault {vault.hex()}")
    if hkdf(root, vault, b"holdfast/v1/kcv/root" + u32(generation), 8).hex() != kcvs.get(generation):
        raise ValueError(f"the root of generation {generation} does not match its check value")
    return {generation: root}

def read_dirs(names):  # -> manifests in order, live key versions after merging
    links, rows = [], {}
    for name in names:
        links.append(json.load(open(os.path.join(name, "manifest.json"), encoding="utf-8")))
        for path in glob.glob(os.path.join(glob.escape(name), "records", "key_versions-*.ndjson")):
            for row in map(json.loads, open(path, encoding="utf-8")):
                key = row["key_id"], row["version"]
                if key not in rows or rows[key]["rev"] < row["rev"]:
                    rows[key] = row
    live = [row for _, row in sorted(rows.items()) if not row.get("del")]
    return sorted(links, key=lambda link: link["from"]), live

def recover(row, vault, roots):
    wrapped, version = bytes.fromhex(row["wrapped"]), u32(row["version"])
    scope, key_id = bytes.fromhex(row["enclave_id"]), bytes.fromhex(row["key_id"])
    g, head = wrapped[1:5], b"holdfast/v1/wrap" + lp("key-version")
    generation = int.from_bytes(g, "big")
    if wrapped[:1] != b"\1":
        raise ValueError("an unknown format")
    if generation not in roots:
        raise LookupError(f"needs a slot of generation {generation}")
    key = hkdf(roots[generation], vault, head + scope + g, 32)
    aad = head + vault + scope + key_id + version + g + lp(row["kind"])
    secret = xaes_open(key, wrapped[5:29], wrapped[29:], aad)
    if hkdf(secret, vault + key_id + version, b"holdfast/v1/kcv", 8).hex() != row["kcv"]:
        raise ValueError("not the secret of its check value")
    return secret.hex()

def main(args):
    failures, roots, done = [], {}, 0
    links, rows = read_dirs([arg for arg in args if os.path.isdir(arg)])
    newest, vault = links[-1], bytes.fromhex(links[-1]["vault_id"])
    for link, start in zip(links, [0] + [link["to"] for link in links]):
        if any(link[k] != newest[k] for k in ("vault_id", "incarnation")) or link["from"] != start:
            failures.append(f"the archive from {link['from']} does not continue the one to {start}")
    for path in (arg for arg in args if not os.path.isdir(arg)):
        try:
            roots.update(read_slot(path, vault, {r["generation"]: r["kcv"] for r in newest["roots"]}))
        except (OSError, ValueError, KeyError) as error:
            failures.append(f"{path}: {error}")
    want = newest["counts"]["key_versions"]["live"] - sum(row["state"] == "destroyed" for row in rows)
    for row in (row for row in rows if row["state"] != "destroyed"):
        try:
            secret = recover(row, vault, roots)
            print(row["enclave_id"], row["key_id"], row["version"], row["kind"], secret)
            done += 1
        except LookupError as error:
            failures.append(str(error))
        except (ValueError, InvalidTag) as error:
            failures.append(f"key {row['key_id']} version {row['version']}: {str(error) or 'not authentic'}")
    if done != want:
        failures.append(f"{done} key versions of {want}")
    for failure in sorted(set(failures)):
        print("FAILED:", failure, file=sys.stderr)
    print(f"{done} of {want} key versions recovered", file=sys.stderr)
    return 1 if failures else 0

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]) if len(sys.argv) > 2 else __doc__)
