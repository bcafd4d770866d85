package org.metaflowmaps.models.vision;

import java.util.List;
import java.util.Set;
import java.util.function.Function;
import java.util.function.Predicate;
import java.util.function.UnaryOperator;

/**
 * One published way to name the tensors of a network in a file.
 *
 * @param title the name for messages
 * @param anchors names that show this layout, without the file's prefix
 * @param sources gets all names of the file under the prefix, and returns the source of each tensor of the network by
 *     this library's name
 * @param ignored names of tensors that no network needs
 */
record Layout(
        String title,
        List<String> anchors,
        Function<Set<String>, Function<String, Source>> sources,
        Predicate<String> ignored) {
    /** A layout whose names differ from this library's by a function only. */
    static Layout renamed(String title, List<String> anchors, UnaryOperator<String> names) {
        return new Layout(title, anchors, all -> name -> Source.of(names.apply(name)), name -> false);
    }

    Layout ignoring(Predicate<String> names) {
        return new Layout(title, anchors, sources, names);
    }
}
