package org.metaflowmaps.training.data;

import java.io.IOException;
import java.nio.charset.StandardCharsets;

/** Decides which colours the components of a JPEG file are, by libjpeg's rules. */
final class JpegColours {
    /** The colours of a file's components. */
    enum Kind {
        GREY,
        RGB,
        YCBCR,
        CMYK,
        YCCK
    }

    private static final int NO_TRANSFORM = -1;

    private boolean jfif;
    private int transform = NO_TRANSFORM;

    /** Returns whether a marker begins a comment or a segment of an application, which decoding does not need. */
    static boolean isSegment(int marker) {
        return (marker >= 0xe0 && marker <= 0xef) || marker == 0xfe;
    }

    /** Reads a segment of an application. */
    void segment(int marker, byte[] body) {
        String head = new String(body, 0, Math.min(5, body.length), StandardCharsets.ISO_8859_1);
        if (marker == 0xe0 && body.length >= 14 && head.equals("JFIF\0")) {
            jfif = true;
        } else if (marker == 0xee && body.length >= 12 && head.equals("Adobe")) {
            transform = body[11] & 0xff;
        }
    }

    /**
     * Returns the colours.
     *
     * @param ids of the components, in the order of the frame's header
     */
    Kind of(int[] ids) throws IOException {
        return switch (ids.length) {
            case 1 -> Kind.GREY;
            case 3 -> {
                boolean named = ids[0] == 'R' && ids[1] == 'G' && ids[2] == 'B';
                boolean rgb = !jfif && (transform == NO_TRANSFORM ? named : transform == 0);
                yield rgb ? Kind.RGB : Kind.YCBCR;
            }
            case 4 -> transform == NO_TRANSFORM || transform == 0 ? Kind.CMYK : Kind.YCCK;
            default -> throw new IOException("it has " + ids.length + " components, expected 1, 3 or 4");
        };
    }
}
