package io.github.streaminfer.scorer;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.zip.ZipException;

/**
 * The central directory of a zip, read for what Java's own reader does not tell: two entries of one name, symbolic links
 * and encryption.
 */
final class ZipDirectory {
    private static final int END_SIGNATURE = 0x06054b50;
    private static final int END_BYTES = 22;
    private static final int MAX_COMMENT_BYTES = 0xFFFF;
    private static final int ENTRY_SIGNATURE = 0x02014b50;
    private static final int ENTRY_BYTES = 46;
    private static final long MAX_DIRECTORY_BYTES = 64L * 1024 * 1024;
    private static final int FILE_TYPE = 0170000;
    private static final int LINK = 0120000;

    private ZipDirectory() {}

    /** All entries, in the order of the directory. */
    static List<Entry> read(Path path) throws IOException {
        try (FileChannel file = FileChannel.open(path, StandardOpenOption.READ)) {
            ByteBuffer end = end(file);
            int count = Short.toUnsignedInt(end.getShort(10));
            long size = Integer.toUnsignedLong(end.getInt(12));
            long start = Integer.toUnsignedLong(end.getInt(16));
            if (size > MAX_DIRECTORY_BYTES || start + size > file.size()) {
                throw new ZipException("its directory does not lie within it");
            }
            return entries(bytes(file, start, (int) size), count);
        }
    }

    /** The record at the end, behind which there may only be a comment. */
    private static ByteBuffer end(FileChannel file) throws IOException {
        int tailBytes = (int) Math.min(file.size(), END_BYTES + MAX_COMMENT_BYTES);
        ByteBuffer tail = bytes(file, file.size() - tailBytes, tailBytes);
        for (int at = tailBytes - END_BYTES; at >= 0; at--) {
            boolean endsHere = tail.getInt(at) == END_SIGNATURE
                    && at + END_BYTES + Short.toUnsignedInt(tail.getShort(at + 20)) == tailBytes;
            if (endsHere) {
                return tail.position(at).slice().order(ByteOrder.LITTLE_ENDIAN);
            }
        }
        throw new ZipException("it has no directory");
    }

    private static List<Entry> entries(ByteBuffer directory, int count) throws ZipException {
        List<Entry> entries = new ArrayList<>(count);
        while (directory.remaining() >= ENTRY_BYTES) {
            int at = directory.position();
            int nameBytes = Short.toUnsignedInt(directory.getShort(at + 28));
            int bytes = ENTRY_BYTES + nameBytes + Short.toUnsignedInt(directory.getShort(at + 30))
                    + Short.toUnsignedInt(directory.getShort(at + 32));
            if (directory.getInt(at) != ENTRY_SIGNATURE || bytes > directory.remaining()) {
                throw new ZipException("its directory is damaged");
            }
            String name = new String(directory.array(), at + ENTRY_BYTES, nameBytes, StandardCharsets.UTF_8);
            boolean isEncrypted = (directory.getShort(at + 8) & 1) != 0;
            boolean isLink = (directory.getInt(at + 38) >>> 16 & FILE_TYPE) == LINK;
            entries.add(new Entry(name, isLink || isEncrypted));
            directory.position(at + bytes);
        }
        if (entries.size() != count) {
            throw new ZipException("its directory has another number of entries than it says");
        }
        return entries;
    }

    private static ByteBuffer bytes(FileChannel file, long start, int count) throws IOException {
        ByteBuffer bytes = ByteBuffer.allocate(count).order(ByteOrder.LITTLE_ENDIAN);
        while (bytes.hasRemaining()) {
            if (file.read(bytes, start + bytes.position()) < 0) {
                throw new ZipException("it was cut while it was read");
            }
        }
        return bytes.flip();
    }

    /** One entry. */
    static final class Entry {
        final String name;
        final boolean isLinkOrEncrypted;

        private Entry(String name, boolean isLinkOrEncrypted) {
            this.name = name;
            this.isLinkOrEncrypted = isLinkOrEncrypted;
        }
    }
}
