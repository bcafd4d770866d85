package org.metaflowmaps.cli.report;

import java.awt.Color;
import java.awt.Font;
import java.awt.FontMetrics;
import java.awt.Graphics2D;
import java.awt.image.BufferedImage;
import java.util.ArrayList;
import java.util.List;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;

/**
 * Rows of small images on white, with a label left of each row and above each column.
 *
 * <p>Values of [-1, 1] become black to white, or levels of red, green and blue. Values beyond are clipped, and NaN is
 * magenta, to show a diverged model. Without a font there are no labels.
 */
public final class ImageGrid {
    private static final int MARGIN = 8;
    private static final int LABEL_GAP = 6;
    private static final int WIDEST_LABEL = 240;
    private static final int NAN = 0xff00ff;
    private static final double LATENT_RANGE = 3;

    private final int channels;
    private final int height;
    private final int width;
    private final List<String> columns;
    private final List<Row> rows = new ArrayList<>();

    private record Row(String label, List<BufferedImage> images) {}

    /**
     * Begins a grid.
     *
     * @param channels 1 for grey, 3 for red, green and blue
     * @param height rows of pixels of each image
     * @param width columns of pixels of each image
     * @param columns a label for each column, empty for none
     */
    public ImageGrid(int channels, int height, int width, List<String> columns) {
        if ((channels != 1 && channels != 3) || height < 1 || width < 1 || columns.isEmpty()) {
            throw new IllegalArgumentException(
                    ("%d channels of %d x %d in %d columns, expected 1 or 3 channels, at least one "
                                    + "pixel and at least one column")
                            .formatted(channels, height, width, columns.size()));
        }
        this.channels = channels;
        this.height = height;
        this.width = width;
        this.columns = List.copyOf(columns);
    }

    /**
     * Returns the number of channels to show of items: all for grey and coloured images, else three of latents, or one
     * if there are fewer.
     */
    public static int shownChannels(Shape item) {
        return item.size(0) >= 3 ? 3 : 1;
    }

    /**
     * Returns the shown channels of items: images unchanged, latents' first channels divided by 3.
     *
     * @param items (N, C, H, W)
     * @return (N, {@link #shownChannels}, H, W), in the innermost open scope
     */
    public static Tensor visible(Tensor items) {
        long channels = items.size(1);
        if (channels == 1 || channels == 3) {
            return items;
        }
        try (TensorScope scope = TensorScope.open()) {
            // Latents of scale 1 have values up to about 3.
            return scope.keep(
                    items.narrow(1, 0, channels >= 3 ? 3 : 1).div(LATENT_RANGE).contiguous());
        }
    }

    /** Draws a whole picture, for {@link org.metaflowmaps.training.PictureGrid}. */
    public static byte[] png(Shape item, List<String> columns, List<String> labels, List<float[]> rows) {
        ImageGrid grid = new ImageGrid((int) item.size(0), (int) item.size(1), (int) item.size(2), columns);
        for (int i = 0; i < rows.size(); i++) {
            grid.row(labels.get(i), rows.get(i));
        }
        return Png.encode(grid.draw(2));
    }

    /**
     * Throws if a picture would not fit in Java's memory, before anything is computed for it.
     *
     * @throws IllegalArgumentException with both sizes
     */
    public static void requireRoom(long rows, long columns, Shape item, int factor) {
        double pixels = (double) rows * columns * (item.size(1) * factor + 2) * (item.size(2) * factor + 2);
        Runtime java = Runtime.getRuntime();
        long room = java.maxMemory() - java.totalMemory() + java.freeMemory();
        // For the picture, its images, and the encoded file.
        if (pixels > Integer.MAX_VALUE || 8 * pixels > room) {
            throw new IllegalArgumentException(
                    "a picture of %d rows of %d images has %.0f million pixels, Java's heap has room for some %d: "
                                    .formatted(
                                            rows,
                                            columns,
                                            pixels / 1e6,
                                            Math.min(Integer.MAX_VALUE, room / 8) / 1_000_000)
                            + "ask for fewer images, or for numbers with --out FILE.safetensors");
        }
    }

    /**
     * Adds a row.
     *
     * @param label the text left of it, empty for none
     * @param pixels images x channels x height x width values, at most as many images as there are columns
     */
    public ImageGrid row(String label, float[] pixels) {
        int size = channels * height * width;
        if (pixels.length == 0 || pixels.length % size != 0 || pixels.length / size > columns.size()) {
            throw new IllegalArgumentException(
                    "row '%s' of %d values, expected 1 to %d images of %d x %d x %d = %d values"
                            .formatted(label, pixels.length, columns.size(), channels, height, width, size));
        }
        List<BufferedImage> images = new ArrayList<>();
        for (int from = 0; from < pixels.length; from += size) {
            images.add(image(pixels, from));
        }
        rows.add(new Row(label, images));
        return this;
    }

    /**
     * Draws the grid.
     *
     * @param factor the width and height of an image's pixel in the grid, at least 1
     * @return an RGB image
     */
    public BufferedImage draw(int factor) {
        if (factor < 1 || rows.isEmpty()) {
            throw new IllegalArgumentException(
                    "factor %d for %d rows, expected at least 1 of both".formatted(factor, rows.size()));
        }
        int gap = Math.max(2, factor);
        int cellWidth = width * factor + gap;
        int cellHeight = height * factor + gap;
        int left = MARGIN;
        int top = MARGIN;
        List<String> labels = rows.stream().map(Row::label).toList();
        if (Text.available()) {
            int widest = Math.min(WIDEST_LABEL, Text.width(labels, Text.font(12)));
            left += widest == 0 ? 0 : widest + LABEL_GAP;
            top += columns.stream().allMatch(String::isEmpty) ? 0 : 12 + LABEL_GAP;
        }
        BufferedImage grid = new BufferedImage(
                left + columns.size() * cellWidth - gap + MARGIN,
                top + rows.size() * cellHeight - gap + MARGIN,
                BufferedImage.TYPE_INT_RGB);
        Graphics2D graphics = grid.createGraphics();
        graphics.setColor(Color.WHITE);
        graphics.fillRect(0, 0, grid.getWidth(), grid.getHeight());
        for (int row = 0; row < rows.size(); row++) {
            List<BufferedImage> images = rows.get(row).images();
            for (int column = 0; column < images.size(); column++) {
                // drawImage uses nearest neighbour by default, so pixels stay sharp.
                graphics.drawImage(
                        images.get(column),
                        left + column * cellWidth,
                        top + row * cellHeight,
                        width * factor,
                        height * factor,
                        null);
            }
        }
        if (Text.available()) {
            drawLabels(graphics, labels, left, top, cellWidth, cellHeight, gap);
        }
        graphics.dispose();
        return grid;
    }

    private void drawLabels(
            Graphics2D graphics, List<String> labels, int left, int top, int cellWidth, int cellHeight, int gap) {
        Text.prepare(graphics);
        Font font = Text.fitting(columns, cellWidth - 2);
        graphics.setFont(font);
        FontMetrics metrics = graphics.getFontMetrics();
        for (int column = 0; column < columns.size(); column++) {
            String text = Text.shortened(columns.get(column), font, cellWidth - 2);
            int middle = left + column * cellWidth + (cellWidth - gap) / 2;
            graphics.drawString(text, middle - metrics.stringWidth(text) / 2, top - LABEL_GAP);
        }
        font = Text.font(12);
        graphics.setFont(font);
        metrics = graphics.getFontMetrics();
        for (int row = 0; row < labels.size(); row++) {
            String text = Text.shortened(labels.get(row), font, WIDEST_LABEL);
            int middle = top + row * cellHeight + (cellHeight - gap) / 2;
            graphics.drawString(
                    text,
                    left - LABEL_GAP - metrics.stringWidth(text),
                    middle + (metrics.getAscent() - metrics.getDescent()) / 2);
        }
    }

    private BufferedImage image(float[] pixels, int from) {
        BufferedImage image = new BufferedImage(width, height, BufferedImage.TYPE_INT_RGB);
        int plane = height * width;
        for (int y = 0; y < height; y++) {
            for (int x = 0; x < width; x++) {
                int at = from + y * width + x;
                float red = pixels[at];
                float green = channels == 1 ? red : pixels[at + plane];
                float blue = channels == 1 ? red : pixels[at + 2 * plane];
                boolean nan = Float.isNaN(red) || Float.isNaN(green) || Float.isNaN(blue);
                image.setRGB(x, y, nan ? NAN : level(red) << 16 | level(green) << 8 | level(blue));
            }
        }
        return image;
    }

    private static int level(float value) {
        return Math.round((Math.clamp(value, -1f, 1f) + 1) * 127.5f);
    }
}
