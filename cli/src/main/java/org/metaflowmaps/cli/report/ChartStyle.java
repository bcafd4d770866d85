package org.metaflowmaps.cli.report;

import java.awt.BasicStroke;
import java.awt.Color;
import java.awt.Font;
import java.awt.Graphics2D;
import java.awt.image.BufferedImage;
import java.util.Locale;
import java.util.function.Consumer;
import org.knowm.xchart.style.XYStyler;

/** The look that charts share. */
final class ChartStyle {
    private static final Color[] COLOURS = {
        new Color(0x1f6feb),
        new Color(0xd9480f),
        new Color(0x2b8a3e),
        new Color(0x862e9c),
        new Color(0x0b7285),
        new Color(0xa61e4d),
        new Color(0xe8a200),
        new Color(0x495057),
        new Color(0x74b816),
        new Color(0xda77f2)
    };
    private static final Color GRID = new Color(0xe9ecef);
    /** Twice the displayed size, for high-density screens. */
    private static final int DENSITY = 2;
    /** Distance of 16 levels from 0 to 255. */
    private static final int LEVEL = 17;

    private ChartStyle() {}

    /** Returns the colour of a curve; after the tenth they repeat. */
    static Color colour(int curve) {
        return COLOURS[curve % COLOURS.length];
    }

    /** Sets fonts, colours and lines; the caller sets axes and legend. */
    static void apply(XYStyler styler) {
        styler.setYAxisTitleVisible(false)
                .setPlotGridLinesColor(GRID)
                .setPlotGridLinesStroke(new BasicStroke(1f))
                .setPlotGridVerticalLinesVisible(false)
                .setAxisTicksLineVisible(false)
                .setAxisTicksMarksVisible(false)
                .setAxisTickLabelsColor(Text.COLOUR)
                .setAxisTickLabelsFont(Text.font(12))
                .setAxisTitleFont(Text.font(12))
                .setPlotMargin(0);
        styler.setLocale(Locale.ENGLISH)
                .setBaseFont(Text.font(12))
                .setChartFontColor(Text.COLOUR)
                .setChartBackgroundColor(Color.WHITE)
                .setChartTitleFont(new Font(Font.SANS_SERIF, Font.BOLD, 14))
                .setChartTitleBoxVisible(false)
                .setChartPadding(16)
                .setPlotBorderVisible(false)
                .setPlotBackgroundColor(Color.WHITE)
                .setLegendFont(Text.font(12))
                .setLegendBorderColor(Color.WHITE)
                .setMarkerSize(6)
                .setAntiAlias(true);
    }

    /** Rounds colours to 16 levels, because a PNG of fewer colours is smaller by a third. */
    static void compact(BufferedImage image) {
        for (int y = 0; y < image.getHeight(); y++) {
            for (int x = 0; x < image.getWidth(); x++) {
                image.setRGB(x, y, compact(image.getRGB(x, y)));
            }
        }
    }

    /** Returns the nearest colour of 16 levels. */
    static int compact(int colour) {
        int rounded = 0xff;
        for (int shift = 16; shift >= 0; shift -= 8) {
            int level = ((colour >> shift & 0xff) + LEVEL / 2) / LEVEL;
            rounded = rounded << 8 | level * LEVEL;
        }
        return rounded;
    }

    /** Returns an image with twice as many pixels as its displayed size. */
    static BufferedImage image(int width, int height, Consumer<Graphics2D> painter) {
        BufferedImage image = new BufferedImage(DENSITY * width, DENSITY * height, BufferedImage.TYPE_INT_RGB);
        Graphics2D graphics = image.createGraphics();
        graphics.scale(DENSITY, DENSITY);
        painter.accept(graphics);
        graphics.dispose();
        return image;
    }
}
