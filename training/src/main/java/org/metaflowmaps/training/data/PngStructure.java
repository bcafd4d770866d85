package org.metaflowmaps.training.data;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.zip.CRC32;
import java.util.zip.DataFormatException;
import java.util.zip.Inflater;

/**
 * Checks a PNG file's chunks and compressed rows before a decoder sees them (PNG specification, third edition).
 *
 * <p>The JDK's decoder does not compare checksums, and decompresses texts and profiles of any size. So it gets a copy
 * that contains only the image.
 */
final class PngStructure {
    private static final int SIGNATURE = 8;
    private static final int MAX_FILTER = 4;

    /** The offsets of interlacing's seven passes, and the steps between their pixels. */
    private static final int[][] PASSES = {
        {0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4}, {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}
    };

    private final byte[] file;
    private final long maxPixels;
    private final ByteArrayOutputStream image = new ByteArrayOutputStream();
    private final byte[] buffer = new byte[1 << 16];
    private final Inflater inflater = new Inflater();
    private boolean begun;
    private boolean ended;
    private boolean palette;
    private boolean data;
    private boolean dataEnded;
    private boolean unpacked;
    private int width;
    private int height;
    private int depth;
    private int colourType;
    private boolean interlaced;
    private Rows rows = new Rows(new int[0], new int[0]);

    private PngStructure(byte[] file, long maxPixels) {
        this.file = file;
        this.maxPixels = maxPixels;
    }

    /**
     * Checks a whole file.
     *
     * @param file begins with PNG's signature
     * @param maxPixels the most pixels of an image
     * @return the file with only the chunks for its pixels, without transparency, texts, profiles and further frames
     * @throws IOException if it ends early, is damaged or is too large
     */
    static byte[] checked(byte[] file, long maxPixels) throws IOException {
        PngStructure structure = new PngStructure(file, maxPixels);
        try {
            return structure.walk();
        } finally {
            structure.inflater.end();
        }
    }

    private byte[] walk() throws IOException {
        image.write(file, 0, SIGNATURE);
        int at = SIGNATURE;
        while (!ended) {
            if (file.length - at < 12) {
                throw new IOException("its data ends early");
            }
            long length = Integer.toUnsignedLong(u32(at));
            if (length > file.length - at - 12L) {
                throw new IOException("its data ends early");
            }
            int size = (int) length;
            if (!begun && size >= 8) {
                // Check the size before the checksum, because it gives the clearer message.
                ImageFile.requireAtMost(maxPixels, u32(at + 8), u32(at + 12));
            }
            CRC32 sum = new CRC32();
            sum.update(file, at + 4, size + 4);
            if ((int) sum.getValue() != u32(at + 8 + size)) {
                throw new IOException("its data is damaged: the checksum of chunk " + name(at + 4) + " differs");
            }
            if (chunk(name(at + 4), at + 8, size)) {
                image.write(file, at, size + 12);
            }
            at += size + 12;
        }
        if (!rows.complete() || !(unpacked || inflater.finished())) {
            throw new IOException("its data ends early");
        }
        return image.toByteArray();
    }

    /** Checks a chunk; returns whether the image needs it. */
    private boolean chunk(String name, int body, int size) throws IOException {
        if (!begun && !name.equals("IHDR")) {
            throw new IOException(
                    name.equals("CgBI")
                            ? "it is a PNG in Apple's format, expected a standard PNG"
                            : "its data is damaged: it does not begin with a header");
        }
        dataEnded |= data && !name.equals("IDAT");
        switch (name) {
            case "IHDR" -> header(body, size);
            case "PLTE" -> palette = true;
            case "IDAT" -> {
                if (dataEnded) {
                    throw new IOException("its data is damaged: its image data is in two places");
                }
                if (!data && colourType == 3 && !palette) {
                    throw new IOException("its data is damaged: its palette is missing");
                }
                data = true;
                inflate(body, size);
            }
            case "IEND" -> ended = true;
            default -> {
                if (file[body - 4] >= 'A' && file[body - 4] <= 'Z') {
                    throw new IOException("it needs chunk " + name + ", which is not part of the PNG standard");
                }
                return false;
            }
        }
        return true;
    }

    private void header(int body, int size) throws IOException {
        if (begun || size != 13) {
            throw new IOException("its data is damaged: its header is not a PNG's");
        }
        begun = true;
        width = u32(body);
        height = u32(body + 4);
        depth = file[body + 8];
        colourType = file[body + 9];
        interlaced = file[body + 12] == 1;
        boolean known = switch (colourType) {
            case 0 -> depth == 1 || depth == 2 || depth == 4 || depth == 8 || depth == 16;
            case 3 -> depth == 1 || depth == 2 || depth == 4 || depth == 8;
            case 2, 4, 6 -> depth == 8 || depth == 16;
            default -> false;
        };
        if (!known
                || width < 1
                || height < 1
                || file[body + 10] != 0
                || file[body + 11] != 0
                || file[body + 12] < 0
                || file[body + 12] > 1) {
            throw new IOException("its data is damaged: its header is not a PNG's");
        }
        rows = rows();
    }

    private Rows rows() {
        int samples = switch (colourType) {
            case 2 -> 3;
            case 4 -> 2;
            case 6 -> 4;
            default -> 1;
        };
        int passes = interlaced ? PASSES.length : 1;
        int[] lengths = new int[passes];
        int[] counts = new int[passes];
        for (int i = 0; i < passes; i++) {
            int[] pass = interlaced ? PASSES[i] : new int[] {0, 0, 1, 1};
            int columns = Math.max(0, (width - pass[0] + pass[2] - 1) / pass[2]);
            lengths[i] = (int) (((long) columns * samples * depth + 7) / 8) + 1;
            counts[i] = columns == 0 ? 0 : Math.max(0, (height - pass[1] + pass[3] - 1) / pass[3]);
        }
        return new Rows(lengths, counts);
    }

    private void inflate(int body, int size) throws IOException {
        if (size == 0 || unpacked) {
            return;
        }
        inflater.setInput(file, body, size);
        try {
            while (!unpacked && !inflater.finished()) {
                int count = inflater.inflate(buffer);
                if (count == 0) {
                    if (inflater.needsDictionary()) {
                        throw new IOException("its data is damaged: its compressed rows need a dictionary");
                    }
                    return;
                }
                if (!rows.take(buffer, count)) {
                    // Ignore data after the rows, because no pixel depends on it.
                    unpacked = true;
                    return;
                }
            }
        } catch (DataFormatException e) {
            throw new IOException(
                    "its data is damaged: its compressed rows cannot be unpacked (" + e.getMessage() + ")", e);
        }
    }

    private String name(int place) {
        return new String(file, place, 4, StandardCharsets.ISO_8859_1).replaceAll("[^A-Za-z]", "?");
    }

    private int u32(int place) {
        return (file[place] & 0xff) << 24
                | (file[place + 1] & 0xff) << 16
                | (file[place + 2] & 0xff) << 8
                | (file[place + 3] & 0xff);
    }

    /** The decompressed rows of all passes: each is a filter's number and its samples. */
    private static final class Rows {
        private final int[] lengths;
        private final int[] counts;
        private int pass;
        private int row;
        private int left;

        Rows(int[] lengths, int[] counts) {
            this.lengths = lengths;
            this.counts = counts;
        }

        /** Processes some bytes; returns false if there are more than all rows need. */
        boolean take(byte[] bytes, int count) throws IOException {
            for (int at = 0; at < count; ) {
                if (left == 0) {
                    if (!next()) {
                        return false;
                    }
                    if (bytes[at] < 0 || bytes[at] > MAX_FILTER) {
                        throw new IOException("its data is damaged: a row has filter " + (bytes[at] & 0xff)
                                + ", expected 0 to " + MAX_FILTER);
                    }
                }
                int step = Math.min(left, count - at);
                left -= step;
                at += step;
            }
            return true;
        }

        private boolean next() {
            while (pass < counts.length && row == counts[pass]) {
                pass++;
                row = 0;
            }
            if (pass == counts.length) {
                return false;
            }
            row++;
            left = lengths[pass];
            return true;
        }

        boolean complete() {
            return left == 0 && !next();
        }
    }
}
