package org.metaflowmaps.training.data;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.util.Arrays;

/**
 * Checks a JPEG file's segments and scans before a decoder sees them.
 *
 * <p>The JDK's decoder fills missing parts with grey, and processes every scan of a progressive file at full size, even
 * if the scan is almost empty. This check follows ITU-T T.81: it finds the end marker, limits the number of scans,
 * compares each scan's length with the minimum for its blocks, and checks that the scans give every coefficient its
 * full precision.
 */
final class JpegStructure {
    /** The most scans of a file; the usual progressive scripts have ten for colour and eighteen for CMYK. */
    private static final int MAX_SCANS = 100;

    /**
     * The most scans times blocks of 8 x 8 samples, because each scan costs a pass over all blocks: eighteen scans of
     * the largest CMYK image.
     */
    private static final long MAX_WORK = 5L << 24;

    /** The longest run of empty blocks in a scan of AC coefficients, and its least bits. */
    private static final int LONGEST_RUN = 32767;

    private static final int LONGEST_RUN_BITS = 15;

    private static final int COEFFICIENTS = 64;
    private static final int END_OF_IMAGE = 0xd9;
    private static final int START_OF_SCAN = 0xda;

    private final byte[] file;
    private final long maxPixels;
    private final ByteArrayOutputStream image = new ByteArrayOutputStream();
    private final JpegColours colours = new JpegColours();
    private int at = 2;
    private boolean progressive;
    private Component[] components = {};
    private int width;
    private int height;
    private int scans;

    private JpegStructure(byte[] file, long maxPixels) {
        this.file = file;
        this.maxPixels = maxPixels;
    }

    /**
     * A colour's samples in the frame; {@code missing[k]} is the number of low bits of coefficient k that no scan has
     * given yet.
     */
    private static final class Component {
        private final int id;
        private final int across;
        private final int down;
        private final int[] missing = new int[COEFFICIENTS];

        Component(int id, int across, int down) {
            this.id = id;
            this.across = across;
            this.down = down;
            Arrays.fill(missing, Integer.MAX_VALUE);
        }
    }

    /**
     * A checked file.
     *
     * @param file without comments and applications' segments, such as profiles and thumbnails
     * @param colours of its components, by libjpeg's rules
     */
    @SuppressWarnings("ArrayRecordComponent") // never compared
    record Checked(byte[] file, JpegColours.Kind colours) {}

    /**
     * Checks a whole file.
     *
     * @param file begins with the marker of a JPEG
     * @param maxPixels the most that an image may have
     * @throws IOException if it ends early, uses an unsupported process, or needs too much work to decode
     */
    static Checked checked(byte[] file, long maxPixels) throws IOException {
        return new JpegStructure(file, maxPixels).walk();
    }

    private Checked walk() throws IOException {
        image.write(file, 0, 2);
        while (true) {
            int marker = marker();
            int begin = at - 2;
            if (marker == END_OF_IMAGE) {
                complete();
                image.write(file, begin, 2);
                int[] ids = Arrays.stream(components).mapToInt(each -> each.id).toArray();
                return new Checked(image.toByteArray(), colours.of(ids));
            }
            int length = u16(at);
            if (length < 2 || at + length > file.length) {
                throw early();
            }
            int body = at + 2;
            at += length;
            if (JpegColours.isSegment(marker)) {
                // As in libjpeg, only segments before the first scan count.
                if (scans == 0) {
                    colours.segment(marker, Arrays.copyOfRange(file, body, at));
                }
                continue;
            }
            if (marker == START_OF_SCAN) {
                scan(body, at);
            } else if (marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc) {
                frame(marker, body, at);
            }
            image.write(file, begin, at - begin);
        }
    }

    /** Returns the next marker with a segment, or the end marker. */
    private int marker() throws IOException {
        while (at + 1 < file.length) {
            int marker = u8(at) == 0xff ? u8(at + 1) : 0;
            if (marker == 0 || marker == 0xff || marker == 0x01 || isRestart(marker)) {
                // Decoders also skip bytes between segments.
                at++;
            } else if (marker == 0xd8) {
                throw new IOException("a second JPEG begins inside it");
            } else {
                at += 2;
                return marker;
            }
        }
        throw early();
    }

    private static boolean isRestart(int marker) {
        return marker >= 0xd0 && marker <= 0xd7;
    }

    private void frame(int marker, int body, int end) throws IOException {
        String unsupported = switch (marker) {
            case 0xc0, 0xc1, 0xc2 -> u8(body) == 8 ? "" : "with " + u8(body) + " bits per sample";
            case 0xc3 -> "of lossless coding";
            case 0xc5, 0xc6, 0xc7 -> "of hierarchical coding";
            case 0xc9, 0xca, 0xcb, 0xcd, 0xce, 0xcf -> "of arithmetic coding";
            default -> "of an unknown kind";
        };
        if (!unsupported.isEmpty()) {
            throw new IOException(
                    "it is a JPEG " + unsupported + ", expected 8 bits and Huffman coding, baseline or progressive");
        }
        int count = end - body >= 6 ? u8(body + 5) : 0;
        if (components.length > 0 || count < 1 || count > 4 || end - body != 6 + 3 * count) {
            throw new IOException("its frame header is damaged");
        }
        progressive = marker == 0xc2;
        height = u16(body + 1);
        width = u16(body + 3);
        if (height == 0 || width == 0) {
            throw new IOException("its header claims " + width + " x " + height + " pixels");
        }
        ImageFile.requireAtMost(maxPixels, width, height);
        components = new Component[count];
        for (int i = 0; i < count; i++) {
            int sampling = u8(body + 7 + 3 * i);
            components[i] = new Component(u8(body + 6 + 3 * i), sampling >> 4, sampling & 15);
            if (sampling >> 4 < 1 || sampling >> 4 > 4 || (sampling & 15) < 1 || (sampling & 15) > 4) {
                throw new IOException("its frame header is damaged");
            }
        }
    }

    private void scan(int body, int end) throws IOException {
        int count = end - body >= 1 ? u8(body) : 0;
        if (components.length == 0 || count < 1 || count > 4 || end - body != 4 + 2 * count) {
            throw new IOException("a scan's header is damaged");
        }
        int first = u8(end - 3);
        int last = u8(end - 2);
        int high = u8(end - 1) >> 4;
        int low = u8(end - 1) & 15;
        if (progressive && (first > last || last >= COEFFICIENTS || low > 13 || (first > 0 && count > 1))) {
            throw new IOException("a scan's header is damaged");
        }
        long blocks = 0;
        for (int i = 0; i < count; i++) {
            Component component = component(u8(body + 1 + 2 * i));
            blocks += blocks(component, count > 1);
            if (progressive) {
                Arrays.fill(component.missing, first, last + 1, low);
            } else {
                Arrays.fill(component.missing, 0);
            }
        }
        scans++;
        long most = Math.min(MAX_SCANS, MAX_WORK / allBlocks());
        if (scans > most) {
            throw new IOException("it is a JPEG with more than " + most + " scans, the most that are decoded of "
                    + width + " x " + height + " pixels");
        }
        if (8 * entropyCoded() < leastBits(blocks, first, high)) {
            throw early();
        }
    }

    private Component component(int id) throws IOException {
        for (Component component : components) {
            if (component.id == id) {
                return component;
            }
        }
        throw new IOException("a scan's header is damaged");
    }

    /** Returns the blocks of a component in a scan; in a shared scan including padding blocks of the last units. */
    private long blocks(Component component, boolean shared) {
        int most = 1;
        int mostDown = 1;
        for (Component other : components) {
            most = Math.max(most, other.across);
            mostDown = Math.max(mostDown, other.down);
        }
        if (shared) {
            return (long) ceil(width, 8 * most) * component.across * ceil(height, 8 * mostDown) * component.down;
        }
        return (long) ceil(ceil(width * component.across, most), 8) * ceil(ceil(height * component.down, mostDown), 8);
    }

    private long allBlocks() {
        long blocks = 0;
        for (Component component : components) {
            blocks += blocks(component, true);
        }
        return blocks;
    }

    private static int ceil(int number, int divisor) {
        return (number + divisor - 1) / divisor;
    }

    /** Returns the least number of bits for the blocks of a scan, because a Huffman code has at least one bit. */
    private long leastBits(long blocks, int first, int high) {
        if (!progressive) {
            return 2 * blocks;
        }
        if (first == 0) {
            return blocks;
        }
        return high > 0 ? 1 : blocks / LONGEST_RUN * LONGEST_RUN_BITS + 1;
    }

    /** Skips a scan's data and returns its number of bytes. */
    private long entropyCoded() throws IOException {
        long count = 0;
        while (at + 1 < file.length) {
            int next = u8(at) == 0xff ? u8(at + 1) : -1;
            if (next == -1 || next == 0) {
                count++;
                at += next == 0 ? 2 : 1;
            } else if (isRestart(next)) {
                at += 2;
            } else if (next == 0xff) {
                at++;
            } else {
                return count;
            }
        }
        throw early();
    }

    private void complete() throws IOException {
        if (scans == 0) {
            throw early();
        }
        for (Component component : components) {
            for (int missing : component.missing) {
                if (missing > 0) {
                    throw new IOException("its data ends early: the last scans are missing");
                }
            }
        }
    }

    private static IOException early() {
        return new IOException("its data ends early");
    }

    private int u8(int place) {
        return file[place] & 0xff;
    }

    private int u16(int place) throws IOException {
        if (place + 1 >= file.length) {
            throw early();
        }
        return u8(place) << 8 | u8(place + 1);
    }
}
