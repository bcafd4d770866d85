package org.metaflowmaps.models.vision;

import com.google.common.base.Preconditions;
import java.io.IOException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.ParameterArena;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.TensorScope;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Collects the tensors that a network needs, with sizes from the file where the network leaves them open, and reads
 * them. What is missing or has a wrong shape is listed in one exception.
 */
final class Fitting {
    private static final Logger LOG = LoggerFactory.getLogger(Fitting.class);
    /** Sizes that the network leaves open. */
    static final long ANY = -1;

    private static final int SHOWN = 20;
    /** No published network has more blocks or layers. */
    private static final int MOST_PARTS = 1000;

    private record Piece(WeightFile file, Shape shape) {}

    private final String network;
    private final Map<String, Piece> pieces = new LinkedHashMap<>();
    private final List<String> problems = new ArrayList<>();
    private final List<WeightFile> files = new ArrayList<>();
    private WeightFile file;

    Fitting(String network, WeightFile file) {
        this.network = network;
        this.file = file;
        files.add(file);
    }

    /** Expects that the file also has tensors of other networks under its prefix. */
    Fitting alone() {
        files.clear();
        return this;
    }

    /** Takes the following tensors from another file. */
    void from(WeightFile next) {
        file = next;
        files.add(next);
    }

    /**
     * Adds a tensor.
     *
     * @param sizes the sizes it must have; {@link #ANY} for one that the file decides
     * @return its sizes in the file, or those given with 1 for {@code ANY} if it does not fit, so that the search for
     *     problems continues
     */
    long[] tensor(String name, long... sizes) {
        Shape shape = null;
        boolean reported = false;
        try {
            shape = file.shape(name);
        } catch (IOException e) {
            problems.add(String.valueOf(e.getMessage()));
            reported = true;
        }
        if (shape != null && fits(shape, sizes)) {
            pieces.put(name, new Piece(file, shape));
            return shape.toArray();
        }
        if (shape != null) {
            problems.add(file.stored(name) + " has shape " + shape + ", expected " + text(sizes));
        } else if (!reported) {
            for (String stored : file.missing(name)) {
                String why = file.unreadable(stored);
                problems.add(why == null ? stored + " is missing" : why);
            }
        }
        long[] assumed = sizes.clone();
        for (int i = 0; i < assumed.length; i++) {
            assumed[i] = Math.max(assumed[i], 1);
        }
        return assumed;
    }

    private static boolean fits(Shape shape, long[] sizes) {
        boolean fits = shape.dim() == sizes.length;
        for (int i = 0; fits && i < sizes.length; i++) {
            fits = sizes[i] == shape.size(i) || (sizes[i] == ANY && shape.size(i) > 0);
        }
        return fits;
    }

    private static String text(long[] sizes) {
        StringBuilder text = new StringBuilder("[");
        for (int i = 0; i < sizes.length; i++) {
            text.append(i == 0 ? "" : ", ").append(sizes[i] == ANY ? "any" : String.valueOf(sizes[i]));
        }
        return text.append("]").toString();
    }

    /** Adds a weight (out, in) and a bias (out); returns the number of outputs. */
    long linear(String name, long out, long in) {
        long rows = tensor(name + ".weight", out, in)[0];
        tensor(name + ".bias", rows);
        return rows;
    }

    /** Adds a convolution with bias; returns the number of outputs. */
    long conv(String name, long out, long in, long size) {
        long channels = tensor(name + ".weight", out, in, size, size)[0];
        tensor(name + ".bias", channels);
        return channels;
    }

    /** Adds a gain and an offset. */
    void norm(String name, long channels) {
        tensor(name + ".weight", channels);
        tensor(name + ".bias", channels);
    }

    /** Records a contradiction between sizes. */
    void require(boolean fits, String problem) {
        if (!fits) {
            problems.add(problem);
        }
    }

    /**
     * Returns the number of numbered parts: one more than the largest number of a part of which the file has any tensor.
     *
     * @param before the text before the number
     * @param after texts after the number, each of which makes a tensor's name
     */
    int count(String before, String... after) {
        int count = 0;
        for (int i = 0; i < MOST_PARTS; i++) {
            for (String rest : after) {
                if (file.has(before + i + rest)) {
                    count = i + 1;
                }
            }
        }
        return count;
    }

    /**
     * Reads all tensors.
     *
     * @param type float32, float64 or bfloat16
     * @return frozen, owned by the caller
     * @throws IOException if any tensor is missing or has a wrong shape
     */
    ParameterArena read(DType type, Device device) throws IOException {
        Preconditions.checkArgument(
                type == DType.FLOAT32 || type == DType.FLOAT64 || type == DType.BFLOAT16,
                "a network of type %s: expected float32, float64 or bfloat16",
                type);
        if (!problems.isEmpty()) {
            throw new IOException("the file (" + file.title() + ") does not fit " + network + " in " + problems.size()
                    + " places: " + String.join("; ", problems.subList(0, Math.min(SHOWN, problems.size())))
                    + (problems.size() > SHOWN ? "; ..." : ""));
        }
        files.stream().distinct().forEach(this::warn);
        Map<String, Shape> shapes = new LinkedHashMap<>();
        pieces.forEach((name, piece) -> shapes.put(name, piece.shape()));
        DType wide = type == DType.BFLOAT16 ? DType.FLOAT32 : type;
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad();
                ParameterArena values = new ParameterArena(shapes, device, wide)) {
            for (Map.Entry<String, Piece> entry : pieces.entrySet()) {
                try (TensorScope each = TensorScope.open()) {
                    values.get(entry.getKey()).copy_(entry.getValue().file().values(entry.getKey()));
                }
            }
            return values.over(values.values().to(type));
        }
    }

    private void warn(WeightFile read) {
        List<String> unexpected = read.unexpected();
        if (!unexpected.isEmpty()) {
            LOG.warn(
                    "{}: {} tensors of the file are not part of the network and were not read: {}",
                    network,
                    unexpected.size(),
                    unexpected.subList(0, Math.min(SHOWN, unexpected.size())));
        }
    }
}
