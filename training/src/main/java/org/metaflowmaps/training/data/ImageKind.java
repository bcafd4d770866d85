package org.metaflowmaps.training.data;

import java.nio.charset.StandardCharsets;
import java.util.Locale;

/** The kind of a file by its first bytes, not its name. */
enum ImageKind {
    PNG("a PNG image"),
    JPEG("a JPEG image"),
    EMPTY("an empty file"),
    GIF("a GIF image"),
    WEBP("a WebP image"),
    BMP("a BMP image"),
    TIFF("a TIFF image"),
    HEIF("a HEIF or AVIF image"),
    JPEG_2000("a JPEG 2000 image"),
    JPEG_XL("a JPEG XL image"),
    PSD("a Photoshop image"),
    ICON("an icon"),
    HTML("an HTML page, perhaps the message of a download that failed"),
    SVG("an SVG or other XML file"),
    LFS("a pointer of Git LFS: run git lfs pull"),
    ZIP("a ZIP archive"),
    GZIP("gzip data"),
    PDF("a PDF document"),
    UNKNOWN("neither of these");

    private static final int SNIFFED = 512;

    private final String description;

    ImageKind(String description) {
        this.description = description;
    }

    /** Returns a description such as "a GIF image". */
    String description() {
        return description;
    }

    static ImageKind of(byte[] bytes) {
        if (bytes.length == 0) {
            return EMPTY;
        }
        String head = new String(bytes, 0, Math.min(SNIFFED, bytes.length), StandardCharsets.ISO_8859_1);
        if (head.startsWith("\u0089PNG\r\n\32\n")) {
            return PNG;
        }
        if (head.startsWith("\u00ff\u00d8\u00ff")) {
            return JPEG;
        }
        String box = head.length() >= 12 ? head.substring(4, 12) : "";
        if (head.startsWith("RIFF") && head.startsWith("WEBP", 8)) {
            return WEBP;
        }
        if (box.startsWith("ftyp")) {
            return HEIF;
        }
        if (box.startsWith("jP  ")) {
            return JPEG_2000;
        }
        if (box.startsWith("JXL ") || head.startsWith("\u00ff\n")) {
            return JPEG_XL;
        }
        return simple(head);
    }

    private static ImageKind simple(String head) {
        String text = head.replace("\u00ef\u00bb\u00bf", "").stripLeading().toLowerCase(Locale.ROOT);
        if (text.startsWith("<!doctype html")
                || text.startsWith("<html")
                || text.startsWith("<head")
                || text.contains("<html")) {
            return HTML;
        }
        if (text.startsWith("<svg") || text.startsWith("<?xml")) {
            return SVG;
        }
        if (head.startsWith("version https://git-lfs.github.com/spec/")) {
            return LFS;
        }
        return head.startsWith("GIF8")
                ? GIF
                : head.startsWith("II*\0") || head.startsWith("MM\0*")
                        ? TIFF
                        : head.startsWith("BM")
                                ? BMP
                                : head.startsWith("8BPS")
                                        ? PSD
                                        : head.startsWith("\0\0\1\0")
                                                ? ICON
                                                : head.startsWith("PK\3\4")
                                                        ? ZIP
                                                        : head.startsWith("\37\u008b")
                                                                ? GZIP
                                                                : head.startsWith("%PDF") ? PDF : UNKNOWN;
    }
}
