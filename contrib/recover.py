#!/usr/bin/python3
"""Prints the keys of an unpacked Holdfast archive: python3 recover.py DIR... SLOT.txt...
DIR: an unpacked base, then its deltas. SLOT.txt: an opened seal slot. Prints a line for each key version:
enclave_id key_id version kind hex. Exits with 0 only if every version that the archive counts was printed and
fits its check value. Needs python3-cryptography, 38 or newer. Formats: formats/keys.md."""
import glob, json, os, sys
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, aead, algorithms, modes
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
    return aead.AESGCM(derived).decrypt(nonce[12:], sealed, aad)

def read_slot(path, vault, kcvs):  # -> {generation: root}
    title, *lines = open(path, encoding="ascii").read().splitlines()
    slot = dict(line.split(" ") for line in lines)
    generation, root = int(slot["generation"]), bytes.fromhex(slot["root"])
    if title != "holdfast-root-v1" or slot["vault"] != vault.hex():
        raise ValueError(f"not a slot of vault {vault.hex()}")
    if hkdf(root, vault, b"holdfast/v1/kcv/root" + u32(generation), 8).hex() != kcvs.get(generation):
        raise ValueError(f"the root of generation {generation} does not match its check value")
    return {generation: root}

def read_versions(dirs):  # -> live rows, after merging: of each version the newest revision counts
    paths = [path for d in dirs for path in glob.glob(os.path.join(glob.escape(d), "records/key_versions-*"))]
    rows = [json.loads(line) for path in paths for line in open(path, encoding="utf-8")]
    newest = {(row["key_id"], row["version"]): row for row in sorted(rows, key=lambda row: row["rev"])}
    return [row for _, row in sorted(newest.items()) if not row.get("del")]

def unwrap(row, vault, roots):  # -> the secret in hex
    wrapped, version, kind = bytes.fromhex(row["wrapped"]), u32(row["version"]), lp(row["kind"])
    scope, key_id = bytes.fromhex(row["enclave_id"]), bytes.fromhex(row["key_id"])
    g, head = wrapped[1:5], b"holdfast/v1/wrap" + lp("key-version")
    root = roots.get(int.from_bytes(g, "big"))
    if wrapped[:1] != b"\1":
        raise ValueError("an unknown format")
    if root is None:
        raise LookupError(f"needs a slot of generation {int.from_bytes(g, 'big')}")
    aad = head + vault + scope + key_id + version + g + kind
    secret = xaes_open(hkdf(root, vault, head + scope + g, 32), wrapped[5:29], wrapped[29:], aad)
    if hkdf(secret, vault + key_id + version, b"holdfast/v1/kcv", 8).hex() != row["kcv"]:
        raise ValueError("not the secret of its check value")
    return secret.hex()

def main(dirs, slots):
    links = sorted((json.load(open(f"{d}/manifest.json")) for d in dirs), key=lambda link: link["from"])
    newest, vault, roots, done = links[-1], bytes.fromhex(links[-1]["vault_id"]), {}, 0
    failures = [f"the archive from {link['from']} does not continue the one to {start}"
                for link, start in zip(links, [0] + [link["to"] for link in links])
                if link["from"] != start or any(link[k] != newest[k] for k in ("vault_id", "incarnation"))]
    for path in slots:
        try:
            roots.update(read_slot(path, vault, {root["generation"]: root["kcv"] for root in newest["roots"]}))
        except (OSError, ValueError, KeyError) as error:
            failures.append(f"{path}: {error}")
    live = read_versions(dirs)
    counted = newest["counts"].get("key_versions", {"live": 0})["live"]  # tables without a row are not counted
    want = counted - sum(row["state"] == "destroyed" for row in live)
    for row in (row for row in live if row["state"] != "destroyed"):
        try:
            print(row["enclave_id"], row["key_id"], row["version"], row["kind"], unwrap(row, vault, roots))
            done += 1
        except (LookupError, ValueError, InvalidTag) as error:
            which = "" if isinstance(error, LookupError) else f"key {row['key_id']} version {row['version']}: "
            failures.append(which + (str(error) or "not authentic"))
    sys.stderr.writelines(f"FAILED: {failure}\n" for failure in dict.fromkeys(failures))
    print(f"{done} of {want} key versions recovered", file=sys.stderr)
    return 0 if done == want and not failures else 1

if __name__ == "__main__":
    dirs, slots = [[arg for arg in sys.argv[1:] if os.path.isdir(arg) == is_dir] for is_dir in (True, False)]
    sys.exit(main(dirs, slots) if dirs and slots else __doc__)
