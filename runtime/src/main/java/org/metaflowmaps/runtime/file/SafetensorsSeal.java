package org.metaflowmaps.runtime.file;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;
import java.util.HexFormat;

/** A safetensors file's own checksum, in its metadata: the SHA-256 of the file with zeros in place of the checksum's digits. */
final class SafetensorsSeal {
    /** The metadata's key. */
    static final String KEY = "sha256";
    /** The digits in place of the checksum while it is computed. */
    static final String BLANK = "0".repeat(64);

    private static final byte[] BEFORE = ("\"" + KEY + "\":\"").getBytes(StandardCharsets.US_ASCII);
    private static final byte[] ZEROS = BLANK.getBytes(StandardCharsets.US_ASCII);
    private static final int BLOCK = 1 << 20;

    private SafetensorsSeal() {}

    /**
     * Where the checksum's digits begin.
     *
     * @param header a file's length field and text
     * @return a position from the file's beginning on; -1 if the key is not there, there twice, or cut off
     */
    static long place(MemorySegment header) {
        byte[] bytes = header.toArray(ValueLayout.JAVA_BYTE);
        int found = -1;
        for (int at = SafetensorsHeader.TEXT_START; at + BEFORE.length + ZEROS.length <= bytes.length; at++) {
            if (Arrays.equals(bytes, at, at + BEFORE.length, BEFORE, 0, BEFORE.length)) {
                if (found >= 0) {
                    return -1;
                }
                found = at + BEFORE.length;
            }
        }
        return found;
    }

    /** The checksum of a file whose digits begin at {@code place}, as they ought to be. */
    static String of(MemorySegment whole, long place) {
        MessageDigest digest = sha256();
        update(digest, whole.asSlice(0, place));
        digest.update(ZEROS);
        update(digest, whole.asSlice(place + ZEROS.length));
        return HexFormat.of().formatHex(digest.digest());
    }

    /** Through an array: a buffer over a segment cannot show more than 2 GiB. */
    private static void update(MessageDigest digest, MemorySegment from) {
        byte[] block = new byte[(int) Math.min(BLOCK, from.byteSize())];
        for (long done = 0; done < from.byteSize(); ) {
            int count = (int) Math.min(block.length, from.byteSize() - done);
            MemorySegment.copy(from, ValueLayout.JAVA_BYTE, done, block, 0, count);
            digest.update(block, 0, count);
            done += count;
        }
    }

    static MessageDigest sha256() {
        try {
            return MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("this Java runtime lacks SHA-256, which every one must have", e);
        }
    }
}
