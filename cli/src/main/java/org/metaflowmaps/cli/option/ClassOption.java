package org.metaflowmaps.cli.option;

import java.util.ArrayList;
import java.util.List;
import java.util.stream.LongStream;
import org.metaflowmaps.models.model.MetaFlowMap;
import picocli.CommandLine.Option;

/** {@code --class}, for every command that draws. */
public final class ClassOption {
    @Option(
            names = "--class",
            paramLabel = "NAME",
            description =
                    "Classes to draw, by name or number, separated by commas. Default: all; none for a map without"
                            + " classes. A name may be shortened if only one class begins with it.")
    private List<String> chosen = new ArrayList<>();

    /** Returns the option with a value; empty for all classes. */
    static ClassOption of(String classes) {
        ClassOption option = new ClassOption();
        if (!classes.isEmpty()) {
            option.chosen.add(classes);
        }
        return option;
    }

    /**
     * Returns the chosen labels, or all; one 0 for a map without classes.
     *
     * @throws IllegalArgumentException if a class is unknown, or the map has none
     */
    public long[] labels(MetaFlowMap map, ClassNames names) {
        if (chosen.isEmpty()) {
            return LongStream.range(0, Math.max(1, map.classes())).toArray();
        }
        if (map.classes() == 0) {
            throw new IllegalArgumentException("--class was given, but this map has no classes");
        }
        return chosen.stream()
                .flatMap(text -> names.labels(text).stream())
                .mapToLong(Long::longValue)
                .toArray();
    }
}
