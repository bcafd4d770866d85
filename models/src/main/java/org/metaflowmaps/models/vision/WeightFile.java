package org.metaflowmaps.models.vision;

import java.io.IOException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.runtime.file.TensorFile;

/**
 * The tensors of one network in a file of any of its layouts, by this library's names.
 *
 * <p>Names in the file may have a prefix, such as {@code model.} or {@code state_dict.first_stage_model.}: any that ends
 * in a dot or a slash.
 */
final class WeightFile {
    private final TensorFile file;
    private final String prefix;
    private final Layout layout;
    private final Function<String, Source> sources;
    private final Set<String> names;
    private final Set<String> used = new LinkedHashSet<>();

    private WeightFile(TensorFile file, String prefix, Layout layout) {
        this.file = file;
        this.prefix = prefix;
        this.layout = layout;
        this.names = new LinkedHashSet<>();
        for (String name : file.entries().keySet()) {
            if (name.startsWith(prefix)) {
                names.add(name.substring(prefix.length()));
            }
        }
        this.sources = layout.sources().apply(names);
    }

    /**
     * Finds a network by its layouts' anchors: the layout and prefix with most of them.
     *
     * @param network its name, for messages
     * @throws IOException if no anchor is in the file, or several prefixes fit equally well
     */
    static WeightFile find(TensorFile file, String network, List<Layout> layouts) throws IOException {
        int most = 0;
        List<WeightFile> best = new ArrayList<>();
        for (Layout layout : layouts) {
            Map<String, Integer> prefixes = new HashMap<>();
            for (String name : file.entries().keySet()) {
                for (String anchor : layout.anchors()) {
                    if (name.endsWith(anchor) && endsPart(name, name.length() - anchor.length())) {
                        prefixes.merge(name.substring(0, name.length() - anchor.length()), 1, Integer::sum);
                    }
                }
            }
            for (Map.Entry<String, Integer> found : prefixes.entrySet()) {
                if (found.getValue() > most) {
                    best.clear();
                    most = found.getValue();
                }
                // Between layouts the first wins: they share anchors, which only an incomplete file leaves undecided.
                if (found.getValue() == most
                        && (best.isEmpty() || best.getFirst().layout.equals(layout))) {
                    best.add(new WeightFile(file, found.getKey(), layout));
                }
            }
        }
        if (best.isEmpty()) {
            throw new IOException("the file holds no " + network + ": none of the tensors "
                    + layouts.stream()
                            .flatMap(layout -> layout.anchors().stream())
                            .distinct()
                            .toList()
                    + " is among its " + file.entries().size() + " tensors"
                    + file.entries().keySet().stream().limit(3).toList());
        }
        if (best.size() > 1) {
            throw new IOException("the file holds several networks that can be the " + network + ", under the prefixes "
                    + best.stream()
                            .map(found -> "'" + found.prefix + "'")
                            .sorted()
                            .toList()
                    + ": copy the tensors of one to a file of their own");
        }
        return best.getFirst();
    }

    private static boolean endsPart(String name, int end) {
        return end == 0 || name.charAt(end - 1) == '.' || name.charAt(end - 1) == '/';
    }

    /** Returns the layout's name. */
    String title() {
        return layout.title();
    }

    /** Returns the names in the file, with the prefix, that make up a tensor. */
    List<String> stored(String name) {
        return sources.apply(name).names().stream().map(part -> prefix + part).toList();
    }

    /** Returns the names in the file, with the prefix, that a tensor needs and the file lacks. */
    List<String> missing(String name) {
        return stored(name).stream()
                .filter(part -> !file.entries().containsKey(part))
                .toList();
    }

    /** Returns true if the file has any part of a tensor. */
    boolean has(String name) {
        return sources.apply(name).names().stream().anyMatch(names::contains);
    }

    /** Returns the shape of a tensor, or null if any part is missing; throws if its parts do not fit together. */
    @Nullable
    Shape shape(String name) throws IOException {
        Source source = sources.apply(name);
        long rows = 0;
        long[] sizes = null;
        for (String part : source.names()) {
            TensorFile.Entry entry = file.entries().get(prefix + part);
            if (entry == null) {
                return null;
            }
            if (!entry.dtype().isFloatingPoint()) {
                throw new IOException(
                        entry.name() + " has elements of type " + entry.dtype() + ", expected floating-point numbers");
            }
            used.add(part);
            long[] next = read(entry.shape(), source.form(), entry.name());
            if (source.names().size() > 1) {
                if (next.length == 0 || (sizes != null && !fits(sizes, next))) {
                    throw new IOException(entry.name() + " has shape " + entry.shape() + ", which does not fit "
                            + prefix + source.names().getFirst());
                }
                rows += next[0];
            }
            sizes = next;
        }
        long[] whole = Objects.requireNonNull(sizes).clone();
        if (source.names().size() > 1) {
            whole[0] = rows;
        }
        return Shape.of(whole);
    }

    private static boolean fits(long[] first, long[] next) {
        boolean fits = first.length == next.length;
        for (int i = 1; fits && i < first.length; i++) {
            fits = first[i] == next[i];
        }
        return fits;
    }

    private static long[] read(Shape shape, Source.Form form, String name) throws IOException {
        long[] sizes = shape.toArray();
        return switch (form) {
            case PLAIN -> sizes;
            case TRANSPOSED -> {
                if (sizes.length != 2) {
                    throw new IOException(name + " has shape " + shape + ", expected a matrix");
                }
                yield new long[] {sizes[1], sizes[0]};
            }
            case MATRIX -> {
                boolean matrix = sizes.length >= 2;
                for (int i = 2; i < sizes.length; i++) {
                    matrix &= sizes[i] == 1;
                }
                if (!matrix) {
                    throw new IOException(
                            name + " has shape " + shape + ", expected a matrix or a convolution of one pixel");
                }
                yield new long[] {sizes[0], sizes[1]};
            }
        };
    }

    /** Returns a tensor's values, in the file's type, in the innermost open scope. */
    Tensor values(String name) {
        Source source = sources.apply(name);
        List<Tensor> parts =
                source.names().stream().map(part -> file.view(prefix + part)).toList();
        Tensor whole = parts.size() == 1 ? parts.getFirst() : Torch.cat(0, parts.toArray(Tensor[]::new));
        return switch (source.form()) {
            case PLAIN -> whole;
            case TRANSPOSED -> whole.transpose(0, 1);
            case MATRIX -> whole.reshape(whole.size(0), whole.size(1));
        };
    }

    /** Returns the tensors under the prefix that were not asked for, without those that are known to be useless. */
    List<String> unexpected() {
        return names.stream()
                .filter(name -> !used.contains(name) && !layout.ignored().test(name))
                .map(name -> prefix + name)
                .toList();
    }

    /** Returns names that the file lists but whose values cannot be read, with the reason. */
    @Nullable
    String unreadable(String stored) {
        return file.unreadable().get(stored);
    }
}
