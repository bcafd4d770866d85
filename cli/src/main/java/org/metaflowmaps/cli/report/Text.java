package org.metaflowmaps.cli.report;

import java.awt.Color;
import java.awt.Font;
import java.awt.FontMetrics;
import java.awt.Graphics2D;
import java.awt.RenderingHints;
import java.awt.image.BufferedImage;

/** Text in images: fonts, widths, and whether this machine can draw text. */
public final class Text {
    /** The grey of captions. */
    static final Color COLOUR = new Color(0x44, 0x44, 0x4a);

    private static final int LARGEST = 12;
    private static final int SMALLEST = 9;
    private static final boolean AVAILABLE = probe();

    private Text() {}

    /** Returns whether text can be drawn; servers and containers often have no font. */
    public static boolean available() {
        return AVAILABLE;
    }

    /** Returns the font of captions, in points from 9 to 12. */
    static Font font(int size) {
        return new Font(Font.SANS_SERIF, Font.PLAIN, size);
    }

    /** Returns the largest caption font in which all texts fit a width; the smallest if none does. */
    static Font fitting(Iterable<String> texts, int width) {
        for (int size = LARGEST; size > SMALLEST; size--) {
            if (width(texts, font(size)) <= width) {
                return font(size);
            }
        }
        return font(SMALLEST);
    }

    /** Returns the width of the widest text, in pixels; 0 without texts. */
    static int width(Iterable<String> texts, Font font) {
        FontMetrics metrics = metrics(font);
        int width = 0;
        for (String text : texts) {
            width = Math.max(width, metrics.stringWidth(text));
        }
        return width;
    }

    /** Shortens a text to a width in pixels, with an ellipsis for the rest. */
    static String shortened(String text, Font font, int width) {
        FontMetrics metrics = metrics(font);
        if (metrics.stringWidth(text) <= width) {
            return text;
        }
        int[] characters = text.codePoints().toArray();
        int kept = characters.length;
        while (kept > 0 && metrics.stringWidth(new String(characters, 0, kept) + "…") > width) {
            kept--;
        }
        return new String(characters, 0, kept) + "…";
    }

    /** Sets smooth text in the caption colour. */
    static void prepare(Graphics2D graphics) {
        graphics.setRenderingHint(RenderingHints.KEY_TEXT_ANTIALIASING, RenderingHints.VALUE_TEXT_ANTIALIAS_ON);
        graphics.setRenderingHint(RenderingHints.KEY_FRACTIONALMETRICS, RenderingHints.VALUE_FRACTIONALMETRICS_ON);
        graphics.setColor(COLOUR);
    }

    private static FontMetrics metrics(Font font) {
        Graphics2D graphics = new BufferedImage(1, 1, BufferedImage.TYPE_INT_RGB).createGraphics();
        try {
            prepare(graphics);
            return graphics.getFontMetrics(font);
        } finally {
            graphics.dispose();
        }
    }

    private static boolean probe() {
        try {
            return metrics(font(SMALLEST)).stringWidth("x") > 0;
        } catch (LinkageError | InternalError | RuntimeException e) {
            // Without fontconfig or fonts, JDK versions throw different exceptions.
            return false;
        }
    }
}
