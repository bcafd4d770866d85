package org.metaflowmaps.training.model;

import com.google.common.base.Splitter;
import java.io.IOException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.metaflowmaps.runtime.TensorFile;

/**
 * Where a file has a network's tensors, and of which family they are; what stands before their names, such as {@code ema.} or
 * {@code module.}, depends on who wrote the file.
 *
 * @param family whose network it is
 * @param prefix before every name of the network, with its dot; empty for none
 */
public record CheckpointLayout(Family family, String prefix) {
    /** The first layer of every transformer here: whatever stands before its name stands before all names. */
    private static final String FIRST = "x_embedder.proj.weight";
    /** A part of DMF's training loss that its files carry along and no sampler needs. */
    private static final String LOSS_PART = "logvar_linear.";

    /** Families of networks. */
    public enum Family {
        /** A scalable interpolant transformer: one time. */
        SIT("SiT"),
        /** A decoupled mean flow: the same parameters as SiT's, of a flow map. */
        DMF("DMF"),
        /** A meta flow map: three times, a context and guidance. */
        MFM("MFM"),
        /** Another network that mfm wrote. */
        OTHER("mfm");

        private final String title;

        Family(String title) {
            this.title = title;
        }

        @Override
        public String toString() {
            return title;
        }
    }

    /**
     * Finds the network in a file. Of several, averaged weights (under {@code ema}) come first.
     *
     * @return nothing if there is no network of a known family
     * @throws IOException if there are several and it cannot be told which is meant
     */
    public static Optional<CheckpointLayout> detect(TensorFile file) throws IOException {
        List<String> prefixes = new ArrayList<>();
        for (String name : file.entries().keySet()) {
            if (name.equals(FIRST) || name.endsWith("." + FIRST)) {
                prefixes.add(name.substring(0, name.length() - FIRST.length()));
            }
        }
        List<String> averaged = prefixes.stream().filter(CheckpointLayout::isAveraged).toList();
        List<String> best = averaged.isEmpty() ? prefixes : averaged;
        if (best.size() > 1) {
            throw new IOException("the file has " + best.size() + " networks, under the prefixes " + best + ": say which is meant");
        }
        if (best.size() == 1) {
            return Optional.of(at(file, best.getFirst()));
        }
        boolean ours = file.entries().keySet().stream().anyMatch(name -> name.startsWith(NetworkFile.PREFIX));
        return ours ? Optional.of(new CheckpointLayout(Family.OTHER, NetworkFile.PREFIX)) : Optional.empty();
    }

    private static boolean isAveraged(String prefix) {
        return Splitter.on('.').splitToStream(prefix).anyMatch(part -> part.startsWith("ema"));
    }

    /** The layout of the tensors under a prefix. */
    public static CheckpointLayout at(TensorFile file, String prefix) {
        Map<String, ?> entries = file.entries();
        Family family = !entries.containsKey(prefix + FIRST) ? Family.OTHER
                : entries.containsKey(prefix + "t_cond_embedder.mlp.0.weight") ? Family.MFM
                : prefix.contains("module.") || entries.keySet().stream().anyMatch(name -> name.contains(LOSS_PART)) ? Family.DMF
                : Family.SIT;
        return new CheckpointLayout(family, prefix);
    }

    /**
     * Which way the clock runs, where the names tell: DMF's from data to noise, SiT's averaged weights' from noise to data.
     *
     * @return {@code is_zero_data} of the network; empty where the names do not tell
     */
    public Optional<Boolean> zeroData() {
        return switch (family) {
            case DMF -> Optional.of(true);
            case SIT -> isAveraged(prefix) ? Optional.of(false) : Optional.empty();
            case MFM, OTHER -> Optional.empty();
        };
    }

    /** The network's tensors: names in the file by names in the network, in the file's order. */
    public Map<String, String> names(TensorFile file) {
        Map<String, String> names = new LinkedHashMap<>();
        for (String name : file.entries().keySet()) {
            if (name.startsWith(prefix) && !name.startsWith(LOSS_PART, prefix.length())) {
                names.put(name.substring(prefix.length()), name);
            }
        }
        return names;
    }

    @Override
    public String toString() {
        return family + (prefix.isEmpty() ? ", names without a prefix" : ", names under '" + prefix + "'");
    }
}
