package org.metaflowmaps.cli.report;

import java.awt.BasicStroke;
import java.awt.Color;
import java.awt.image.BufferedImage;
import java.math.BigDecimal;
import java.text.NumberFormat;
import java.util.Arrays;
import java.util.DoubleSummaryStatistics;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;
import org.knowm.xchart.XYChart;
import org.knowm.xchart.XYChartBuilder;
import org.knowm.xchart.XYSeries;
import org.knowm.xchart.style.Styler.LegendLayout;
import org.knowm.xchart.style.Styler.LegendPosition;
import org.knowm.xchart.style.XYStyler;
import org.knowm.xchart.style.markers.SeriesMarkers;

/**
 * A line chart of losses over training steps: each curve faint as measured and strong as smoothed.
 *
 * <p>The value axis is logarithmic if every value is positive. Values that are not finite are left out.
 */
final class LossChart {
    private static final Color MARK = new Color(0x868e96);
    /** Fewer points than this are not smoothed. */
    private static final int SMOOTHED_FROM = 20;

    private final String title;
    private final Map<String, Curve> curves = new LinkedHashMap<>();
    private final Map<String, Long> marks = new LinkedHashMap<>();
    private boolean linear;

    /** The finite points of a curve. */
    private static final class Curve {
        final double[] steps;
        final double[] values;
        final double @Nullable [] errors;

        Curve(long[] steps, double[] values, double[] errors) {
            int[] finite = IntStream.range(0, values.length)
                    .filter(i -> Double.isFinite(values[i]))
                    .toArray();
            this.steps = Arrays.stream(finite).mapToDouble(i -> steps[i]).toArray();
            this.values = Arrays.stream(finite).mapToDouble(i -> values[i]).toArray();
            double[] known = Arrays.stream(finite)
                    .mapToDouble(i -> Double.isFinite(errors[i]) ? errors[i] : 0)
                    .toArray();
            this.errors = Arrays.stream(known).allMatch(error -> error == 0) ? null : known;
        }
    }

    /** Begins a chart; an empty title takes no space. */
    LossChart(String title) {
        this.title = title;
    }

    /**
     * Adds a curve.
     *
     * @param name its name in the legend; different for each curve
     * @param steps the training steps, ascending
     * @param values a value for each step
     */
    LossChart curve(String name, long[] steps, double[] values) {
        double[] unknown = new double[values.length];
        Arrays.fill(unknown, Double.NaN);
        return curve(name, steps, values, unknown);
    }

    /**
     * Adds a curve with error bars, which are shown if it is not smoothed.
     *
     * @param errors the standard error of each value; NaN if unknown
     */
    LossChart curve(String name, long[] steps, double[] values, double[] errors) {
        if (steps.length != values.length
                || errors.length != values.length
                || name.isBlank()
                || curves.containsKey(name)) {
            throw new IllegalArgumentException(
                    "curve '%s' of %d steps and %d values, expected a new name and a value per step"
                            .formatted(name, steps.length, values.length));
        }
        curves.put(name, new Curve(steps, values, errors));
        return this;
    }

    /** Marks a step by a vertical line, named in the legend. */
    LossChart mark(String name, long step) {
        marks.put(name, step);
        return this;
    }

    /** Makes the value axis linear. */
    LossChart linear() {
        linear = true;
        return this;
    }

    /** Returns whether no curve has a finite value. */
    boolean isEmpty() {
        return curves.values().stream().allMatch(curve -> curve.values.length == 0);
    }

    /**
     * Draws the chart.
     *
     * @param width the displayed width; the image has twice as many pixels, for sharpness
     * @param height the displayed height
     * @return an RGB image
     * @throws IllegalStateException if there is nothing to draw, or this machine has no font
     */
    BufferedImage draw(int width, int height) {
        if (isEmpty()) {
            throw new IllegalStateException(
                    "no curve of the chart '" + title + "' has a finite value: leave the chart out");
        }
        if (!Text.available()) {
            throw new IllegalStateException(
                    "this machine has no font for a chart's labels: install fontconfig and a font such "
                            + "as fonts-dejavu-core");
        }
        XYChart chart = new XYChartBuilder()
                .title(title)
                .width(width)
                .height(height)
                .xAxisTitle("step")
                .build();
        style(chart.getStyler());
        int number = 0;
        for (Map.Entry<String, Curve> entry : curves.entrySet()) {
            Color colour = ChartStyle.colour(number++);
            Curve curve = entry.getValue();
            int points = curve.values.length;
            if (points >= SMOOTHED_FROM) {
                Color faint = new Color(colour.getRed(), colour.getGreen(), colour.getBlue(), 56);
                line(chart, "\0" + entry.getKey(), curve, curve.values, faint, 1f)
                        .setShowInLegend(false);
                line(chart, entry.getKey(), curve, smoothed(curve.values), colour, 2f);
            } else if (points > 0) {
                measured(chart, entry.getKey(), curve, colour).setMarker(SeriesMarkers.CIRCLE);
            }
        }
        DoubleSummaryStatistics range = range();
        marks.forEach((name, step) -> mark(chart, name, step, range));
        hideEvenSpacing(chart);
        return ChartStyle.image(width, height, graphics -> chart.paint(graphics, width, height));
    }

    /**
     * Smooths by an exponential moving average over about a thirtieth of the curve, corrected for its empty start.
     *
     * @return a new array; each value is between the smallest and the largest up to there
     */
    static double[] smoothed(double[] values) {
        double keep = 1 - 1 / Math.max(1, values.length / 30.0);
        double[] result = new double[values.length];
        double sum = 0;
        double weight = 0;
        for (int i = 0; i < values.length; i++) {
            sum = keep * sum + values[i];
            weight = keep * weight + 1;
            result[i] = sum / weight;
        }
        return result;
    }

    /** Returns the label of a tick; empty if it would overlap its neighbours. */
    static String logarithmicLabel(double value, double decades) {
        double exponent = Math.floor(Math.log10(value) + 1e-9);
        long digit = Math.round(value / Math.pow(10, exponent));
        long every = Math.max(1, Math.round(decades / 5));
        boolean shown = decades < 2 ? digit == 1 || digit == 2 || digit == 5 : digit == 1 && exponent % every == 0;
        if (!shown && decades >= 1) {
            return "";
        }
        return exponent < -3 || exponent > 4
                ? digit + "e" + (int) exponent
                : BigDecimal.valueOf(digit).scaleByPowerOfTen((int) exponent).toPlainString();
    }

    /**
     * Adds an invisible point at an odd position, because otherwise the library puts ticks at numbers such as 3,200 and
     * 6,400.
     */
    private void hideEvenSpacing(XYChart chart) {
        Curve curve = curves.values().stream()
                .filter(any -> any.values.length > 0)
                .findFirst()
                .orElseThrow();
        double off = curve.steps[0] + (curve.steps[curve.steps.length - 1] - curve.steps[0]) / Math.E;
        XYSeries point = chart.addSeries(" ", new double[] {off}, new double[] {curve.values[0]});
        point.setMarker(SeriesMarkers.NONE);
        point.setShowInLegend(false);
    }

    private static void mark(XYChart chart, String name, long step, DoubleSummaryStatistics range) {
        XYSeries series =
                chart.addSeries(name, new double[] {step, step}, new double[] {range.getMin(), range.getMax()});
        series.setMarker(SeriesMarkers.NONE);
        series.setLineColor(MARK);
        series.setLineStyle(
                new BasicStroke(1.5f, BasicStroke.CAP_BUTT, BasicStroke.JOIN_ROUND, 1, new float[] {5, 4}, 0));
    }

    private DoubleSummaryStatistics range() {
        return curves.values().stream()
                .flatMapToDouble(curve -> Arrays.stream(curve.values))
                .summaryStatistics();
    }

    private static XYSeries line(XYChart chart, String name, Curve curve, double[] values, Color colour, float width) {
        return styled(chart.addSeries(name, curve.steps, values), colour, width);
    }

    /** Draws a curve as measured, with error bars if there are any. */
    private static XYSeries measured(XYChart chart, String name, Curve curve, Color colour) {
        XYSeries series = curve.errors == null
                ? chart.addSeries(name, curve.steps, curve.values)
                : chart.addSeries(name, curve.steps, curve.values, curve.errors);
        return styled(series, colour, 2f);
    }

    private static XYSeries styled(XYSeries series, Color colour, float width) {
        series.setMarker(SeriesMarkers.NONE);
        series.setMarkerColor(colour);
        series.setLineColor(colour);
        series.setLineStyle(new BasicStroke(width, BasicStroke.CAP_ROUND, BasicStroke.JOIN_ROUND));
        return series;
    }

    private void style(XYStyler styler) {
        DoubleSummaryStatistics range = range();
        if (range.getMin() > 0 && !linear) {
            double decades = Math.log10(range.getMax() / range.getMin());
            styler.setYAxisLogarithmic(true)
                    .setYAxisLogarithmicDecadeOnly(false)
                    .setYAxisTickLabelsFormattingFunction(value -> logarithmicLabel(value, decades));
            // The library draws nine lines per decade, which overlap if there are many decades.
            styler.setPlotGridHorizontalLinesVisible(decades < 8);
        }
        styler.setXAxisTickLabelsFormattingFunction(
                        step -> NumberFormat.getInstance(Locale.ENGLISH).format(step))
                .setXAxisMin(0.0)
                .setXAxisTickMarkSpacingHint(100);
        ChartStyle.apply(styler);
        styler.setLegendPosition(LegendPosition.OutsideS)
                .setLegendLayout(LegendLayout.Horizontal)
                .setLegendVisible(curves.size() + marks.size() > 1)
                .setChartTitleVisible(!title.isEmpty())
                .setMarkerSize(5);
    }
}
