"""Reads archives from stdin and says what general readers of ZIP files find in each.

An archive comes as its size (4 bytes, little endian) and its bytes. The answer is one line: for each
reader the SHA-256 of all entries in their order, each as the size of its name, the name, the size of
its content and the content, sizes in 8 bytes, little endian; or "refused" and why.
"""

import ctypes
import hashlib
import io
import struct
import sys
import zipfile

LIBRARY = ctypes.CDLL("libarchive.so.13")
for name in ("archive_read_new", "archive_entry_pathname", "archive_error_string"):
    getattr(LIBRARY, name).restype = ctypes.c_void_p
LIBRARY.archive_read_data.restype = ctypes.c_ssize_t

# archive.h
ARCHIVE_EOF = 1
ARCHIVE_OK = 0


class Refused(Exception):
    """A reader does not take an archive."""


def digest(entries):
    """The SHA-256 over pairs of name and content."""
    sha256 = hashlib.sha256()
    for name, content in entries:
        for part in (name, content):
            sha256.update(struct.pack("<Q", len(part)) + part)
    return sha256.hexdigest()


def with_zipfile(data):
    """The standard library's reader, which believes the central directory."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return digest([(info.orig_filename.encode(), archive.read(info)) for info in archive.infolist()])
    except Exception as error:  # Whatever it is, it is a refusal.
        raise Refused(repr(error)) from error


def with_libarchive(support):
    """libarchive with one of its two readers: by the central directory, or by the local headers."""

    def read(data):
        archive = ctypes.c_void_p(LIBRARY.archive_read_new())

        def check(code):
            if code != ARCHIVE_OK:
                text = LIBRARY.archive_error_string(archive)
                raise Refused(ctypes.string_at(text).decode() if text else f"code {code}")

        try:
            check(support(archive))
            check(LIBRARY.archive_read_open_memory(archive, data, ctypes.c_size_t(len(data))))
            entries = []
            entry = ctypes.c_void_p()
            buffer = ctypes.create_string_buffer(1 << 20)
            while True:
                code = LIBRARY.archive_read_next_header(archive, ctypes.byref(entry))
                if code == ARCHIVE_EOF:
                    return digest(entries)
                check(code)
                name = ctypes.string_at(LIBRARY.archive_entry_pathname(entry))
                content = b""
                while True:
                    size = LIBRARY.archive_read_data(archive, buffer, ctypes.c_size_t(len(buffer)))
                    if size < 0:
                        check(size)
                    if size == 0:
                        break
                    content += buffer.raw[:size]
                entries.append((name, content))
        finally:
            LIBRARY.archive_read_free(archive)

    return read


READERS = (
    with_zipfile,
    with_libarchive(LIBRARY.archive_read_support_format_zip_seekable),
    with_libarchive(LIBRARY.archive_read_support_format_zip_streamable),
)


def answer(reader, data):
    """What a reader finds."""
    try:
        return reader(data)
    except Refused as refused:
        return "refused: " + str(refused).replace("\n", " ").replace("\t", " ")


def main():
    """Answers until stdin ends."""
    stdin = sys.stdin.buffer
    while head := stdin.read(4):
        data = stdin.read(struct.unpack("<I", head)[0])
        print("\t".join(answer(reader, data) for reader in READERS), flush=True)


main()
