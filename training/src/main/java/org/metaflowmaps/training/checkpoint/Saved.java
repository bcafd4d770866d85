package org.metaflowmaps.training.checkpoint;

import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import org.metaflowmaps.runtime.Tensor;

/**
 * State that a checkpoint saves and a resumed run restores.
 *
 * @param buffers the owner's tensors by name: a checkpoint writes their values, and restoring copies into them
 * @param counters numbers by name
 */
public record Saved(Map<String, Tensor> buffers, Map<String, Long> counters) {
    /** No state. */
    public static final Saved NOTHING = new Saved(Map.of(), Map.of());

    /** Keeps the order of both, in which a checkpoint writes them. */
    public Saved {
        buffers = Collections.unmodifiableMap(new LinkedHashMap<>(buffers));
        counters = Collections.unmodifiableMap(new LinkedHashMap<>(counters));
    }

    /** Returns this state with a prefix before each name. */
    public Saved under(String prefix) {
        Map<String, Tensor> named = new LinkedHashMap<>();
        buffers.forEach((name, buffer) -> named.put(prefix + name, buffer));
        Map<String, Long> counted = new LinkedHashMap<>();
        counters.forEach((name, count) -> counted.put(prefix + name, count));
        return new Saved(named, counted);
    }

    /** Returns this state with another one added; for equal names the other's value is used. */
    public Saved and(Saved other) {
        Map<String, Tensor> all = new LinkedHashMap<>(buffers);
        all.putAll(other.buffers);
        Map<String, Long> counts = new LinkedHashMap<>(counters);
        counts.putAll(other.counters);
        return new Saved(all, counts);
    }
}
