package org.metaflowmaps.runtime.file;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;
import java.util.HexFormat;

/**
 * A safetensors file's checksum in its own metadata: the SHA-256 of the file with zeros in place of the checksum's
 * digits.
 */
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
     * Returns the offset of the checksum's digits.
     *
     * @param header a file's length field and text
     * @return an offset from the file's beginning; -1 if the key is missing, occurs twice or is cut off
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

    /** Computes the checksum of a file whose digits begin at {@code place}. */
    static String of(MemorySegment whole, long place) {
        MessageDigest digest = sha256();
        update(digest, whole.asSlice(0, place));
        digest.update(ZEROS);
        update(digest, whole.asSlice(place + ZEROS.length));
        return HexFormat.of().formatHex(digest.digest());
    }

    /** Copies through an array, because a buffer over a segment is limited to 2 GiB. */
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
            throw new IllegalStateException("this Java runtime lacks SHA-256: use a complete JDK", e);
        }
    }
}
