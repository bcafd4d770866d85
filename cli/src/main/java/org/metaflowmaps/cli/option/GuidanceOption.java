package org.metaflowmaps.cli.option;

import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.runtime.Tensor;
import picocli.CommandLine.Option;

/** The amortised guidance scale of commands that draw. */
public final class GuidanceOption {
    @Option(
            names = "--guidance",
            paramLabel = "W",
            description = "Guidance scale of items with labels, one of the map's training. Default: the map's only"
                    + " scale besides 1, if there is one.")
    private @Nullable Double guidance;

    /**
     * Returns the scale for a map's labelled items; null for none.
     *
     * @throws IllegalArgumentException if the map has no row for the given scale, or has several and none is given
     */
    public @Nullable Double scale(MetaFlowMap map) {
        if (guidance == null) {
            if (own(map).size() > 1) {
                throw new IllegalArgumentException(
                        "this map has the guidance scales " + own(map) + ": choose one with --guidance");
            }
            return usual(map);
        }
        List<Double> scales = new ArrayList<>(List.of(1.0));
        scales.addAll(own(map));
        if (!scales.contains(guidance)) {
            throw new IllegalArgumentException(
                    "--guidance " + guidance + ": this map was trained with the scales " + scales + " only");
        }
        return guidance;
    }

    /**
     * Returns a map's only scale besides 1, with which its run trained labelled items; null if it has none or several.
     */
    private static @Nullable Double usual(MetaFlowMap map) {
        List<Double> scales = own(map);
        return scales.size() == 1 ? scales.getFirst() : null;
    }

    /** Returns a map's scales besides 1. */
    private static List<Double> own(MetaFlowMap map) {
        return map.guidanceScales().stream()
                .filter(scale -> scale != 1)
                .distinct()
                .toList();
    }

    /** Returns the condition of items; null labels mean no labels, a null scale means 1. */
    public static Condition of(@Nullable Double scale, MetaFlowMap map, @Nullable Tensor labels) {
        Condition condition = labels == null ? Condition.none() : Condition.labelled(labels);
        return scale == null ? condition : condition.guided(scale, map.classes());
    }
}
