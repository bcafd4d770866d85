package org.metaflowmaps.cli.report;

import java.awt.BasicStroke;
import java.awt.Color;
import java.awt.image.BufferedImage;
import java.util.DoubleSummaryStatistics;
import java.util.List;
import java.util.Locale;
import java.util.stream.DoubleStream;
import org.knowm.xchart.XYChart;
import org.knowm.xchart.XYChartBuilder;
import org.knowm.xchart.XYSeries;
import org.knowm.xchart.style.Styler.LegendPosition;
import org.knowm.xchart.style.XYStyler;
import org.knowm.xchart.style.markers.SeriesMarkers;

/** Fréchet distances over network evaluations, both logarithmic: a colour for each time, a line for each sampler. */
final class FrechetChart {
    private static final Color GREY = new Color(0x868e96);
    private static final float[] DASHES = {6f, 5f};
    private static final float[] DOTS = {1.5f, 4f};

    private final List<FrechetReport.Row> rows;
    private final double floor;

    FrechetChart(List<FrechetReport.Row> rows, double floor) {
        this.rows = rows;
        this.floor = floor;
    }

    /** Draws the chart with twice as many pixels as its displayed size. */
    BufferedImage draw(int width, int height) {
        XYChart chart = new XYChartBuilder()
                .title("Fréchet distance of posterior draws")
                .width(width)
                .height(height)
                .xAxisTitle("network evaluations")
                .build();
        style(chart.getStyler());
        int colour = 0;
        for (double time :
                rows.stream().mapToDouble(FrechetReport.Row::time).distinct().toArray()) {
            for (String sampler : List.of(FrechetReport.MAP, FrechetReport.GLASS)) {
                List<FrechetReport.Row> curve = rows.stream()
                        .filter(row -> row.time() == time && row.sampler().equals(sampler))
                        .toList();
                if (!curve.isEmpty()) {
                    line(
                            chart,
                            String.format(Locale.ROOT, "%s, t = %s", sampler, time),
                            curve,
                            ChartStyle.colour(colour));
                }
            }
            colour++;
        }
        double[] ends = rows.stream()
                .mapToDouble(row -> logarithm((double) row.evaluations()))
                .toArray();
        DoubleSummaryStatistics range = DoubleStream.of(ends).summaryStatistics();
        XYSeries real = chart.addSeries(
                "real images", new double[] {range.getMin(), range.getMax()}, new double[] {floor, floor});
        real.setMarker(SeriesMarkers.NONE)
                .setLineColor(GREY)
                .setLineStyle(new BasicStroke(2f, BasicStroke.CAP_ROUND, BasicStroke.JOIN_ROUND, 1f, DOTS, 0f));
        return ChartStyle.image(width, height, graphics -> chart.paint(graphics, width, height));
    }

    private static double logarithm(double value) {
        return Math.log(value) / Math.log(2);
    }

    private static void line(XYChart chart, String name, List<FrechetReport.Row> curve, Color colour) {
        XYSeries series = chart.addSeries(
                name,
                curve.stream()
                        .mapToDouble(row -> logarithm((double) row.evaluations()))
                        .toArray(),
                curve.stream().mapToDouble(row -> row.distances().toOthers()).toArray());
        boolean map = curve.getFirst().sampler().equals(FrechetReport.MAP);
        series.setMarker(map ? SeriesMarkers.CIRCLE : SeriesMarkers.DIAMOND)
                .setMarkerColor(colour)
                .setLineColor(colour);
        series.setLineStyle(
                new BasicStroke(2f, BasicStroke.CAP_ROUND, BasicStroke.JOIN_ROUND, 1f, map ? null : DASHES, 0f));
    }

    private void style(XYStyler styler) {
        DoubleSummaryStatistics range = DoubleStream.concat(
                        DoubleStream.of(floor),
                        rows.stream().mapToDouble(row -> row.distances().toOthers()))
                .summaryStatistics();
        if (range.getMin() > 0) {
            double decades = Math.log10(range.getMax() / range.getMin());
            styler.setYAxisLogarithmic(true)
                    .setYAxisLogarithmicDecadeOnly(false)
                    .setYAxisTickLabelsFormattingFunction(value -> LossChart.logarithmicLabel(value, decades));
        }
        // The axis shows the logarithm to base 2, with labels only at whole numbers.
        styler.setXAxisTickLabelsFormattingFunction(value ->
                        Math.abs(value - Math.rint(value)) < 1e-9 ? Long.toString(1L << Math.round(value)) : "")
                .setXAxisMin(0.0)
                .setXAxisTickMarkSpacingHint(60);
        ChartStyle.apply(styler);
        styler.setLegendPosition(LegendPosition.OutsideE);
    }
}
