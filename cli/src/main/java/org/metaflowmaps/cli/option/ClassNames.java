package org.metaflowmaps.cli.option;

import java.text.Normalizer;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.function.Predicate;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.metaflowmaps.runtime.internal.Suggestions;
import org.metaflowmaps.runtime.internal.Texts;

/** Names of a map's classes, and the parser of {@code --class}. */
public final class ClassNames {
    /** The most names listed if one is not found. */
    private static final int LISTED = 20;

    private final List<String> names;
    private final int classes;

    /**
     * Names of a map's classes.
     *
     * @param names one for each class; ignored if their number differs
     * @param classes the map's number of classes
     */
    public ClassNames(List<String> names, int classes) {
        this.names = names.size() == classes ? names : List.of();
        this.classes = classes;
    }

    /** Returns the name of a label: "class 3" without names, "no label" for the row after the classes. */
    public String of(long label) {
        if (label >= classes) {
            return "no label";
        }
        return names.isEmpty() ? "class " + label : Texts.oneLine(names.get((int) label));
    }

    /** Returns the known names, by label; empty without names. */
    List<String> known() {
        return names;
    }

    /** Returns all names, by label. */
    List<String> all() {
        return IntStream.range(0, classes).mapToObj(this::of).toList();
    }

    /**
     * Parses {@code --class}: one whole name, or names and numbers separated by commas.
     *
     * @throws IllegalArgumentException if a class is unknown; the message suggests near names
     */
    public List<Long> labels(String text) {
        int whole = names.indexOf(text);
        if (whole >= 0) {
            return List.of((long) whole);
        }
        List<Long> labels = new ArrayList<>();
        for (String part : text.split(",", -1)) {
            labels.add(label(part.strip()));
        }
        return labels;
    }

    /** Looks for a name before a number, because folders may be named by numbers in another order. */
    private long label(String text) {
        if (names.contains(text)) {
            return names.indexOf(text);
        }
        if (text.matches("-?\\d{1,9}")) {
            long number = Long.parseLong(text);
            if (number < 0 || number > classes) {
                throw new IllegalArgumentException("--class " + text + " is out of range: this map has classes 0 to "
                        + (classes - 1) + ", and " + classes + " for no label");
            }
            return number;
        }
        String wanted = folded(text);
        List<Integer> alike = matching(name -> name.equals(wanted));
        List<Integer> begun = alike.isEmpty() && !wanted.isEmpty() ? matching(name -> name.startsWith(wanted)) : alike;
        if (begun.size() == 1) {
            return begun.getFirst();
        }
        throw new IllegalArgumentException("--class '" + text + "' is "
                + (begun.size() > 1 ? "more than one class: " + listed(begun) : "not known: " + suggestion(wanted)));
    }

    private List<Integer> matching(Predicate<String> test) {
        return IntStream.range(0, names.size())
                .filter(label -> test.test(folded(names.get(label))))
                .boxed()
                .toList();
    }

    private String suggestion(String wanted) {
        if (names.isEmpty()) {
            return "this map's classes have no names, give a number from 0 to " + (classes - 1) + ", or " + classes
                    + " for no label";
        }
        List<Integer> nearest = IntStream.range(0, names.size())
                .boxed()
                .sorted(Comparator.comparingInt(label -> Suggestions.distance(wanted, folded(names.get(label)))))
                .toList();
        return "did you mean '" + of(nearest.getFirst()) + "'? Known: "
                + listed(IntStream.range(0, names.size()).boxed().toList()) + "; or a number from 0 to " + (classes - 1)
                + ", " + classes + " for no label";
    }

    private String listed(List<Integer> labels) {
        return labels.stream().limit(LISTED).map(label -> of(label)).collect(Collectors.joining(", "))
                + (labels.size() > LISTED ? ", ... (" + labels.size() + " in all)" : "");
    }

    /** Normalises case and the composition of accents. */
    private static String folded(String text) {
        return Normalizer.normalize(text, Normalizer.Form.NFC).toLowerCase(Locale.ROOT);
    }
}
