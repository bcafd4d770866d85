package org.metaflowmaps.models.checkpoint;

import com.google.common.base.Splitter;
import com.google.common.base.Strings;
import com.google.common.collect.Iterables;
import com.google.common.collect.Sets;
import java.io.IOException;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.metaflowmaps.runtime.file.PyTorchFile;
import org.metaflowmaps.runtime.file.TensorFile;

/**
 * The prefix and family of a network's tensors in a file. The prefix, such as {@code ema.} or {@code module.}, depends
 * on the program that wrote the file.
 *
 * @param family the network's family
 * @param prefix before every name of the network, with its dot; empty for none
 */
public record CheckpointLayout(Family family, String prefix) {
    /** The first layer of every transformer here: its prefix is the prefix of all names. */
    private static final String FIRST = "x_embedder.proj.weight";

    private static final String FIRST_PART = "x_embedder.";
    /** A limit, because the time to compare networks grows with the square of their number. */
    private static final int MOST_NETWORKS = 64;
    /** A part of DMF's training loss: only DMF files contain it, and no sampler needs it. */
    private static final String LOSS_PART = "logvar_linear";
    /** Name parts that PyTorch's and Lightning's module wrappers insert at any position. */
    private static final Set<String> WRAPPERS = Set.of(
            "_orig_mod",
            "module",
            "_fsdp_wrapped_module",
            "_checkpoint_wrapped_module",
            "_forward_module",
            "_fpw_module");
    /** First parts of the names of all families' tensors. */
    private static final Set<String> PARTS = Set.of(
            "x_embedder",
            "s_embedder",
            "t_embedder",
            "s_embedder_second",
            "t_embedder_second",
            "t_cond_embedder",
            "y_embedder",
            "guidance_embedder",
            "x_cond_embedder",
            "x_cond_adaLN",
            "blocks",
            "final_layer",
            "pos_embed");
    /**
     * Lightning's WeightAveraging stores the trained weights under the first prefix and the average under the second.
     */
    private static final String RAW = "current_model_state.";

    private static final String AVERAGE = "state_dict.";
    /** Name parts of training state. */
    private static final Pattern STATE =
            Pattern.compile("(^|[._])(optim|optims|optimizer|optimizers|optimizer_states|opt|exp_avg|exp_avg_sq|"
                    + "momentum|grad|grads|scheduler|lr_scheduler|lr_schedulers|callbacks|scaler|rng)([._]|$)");
    /** Word boundaries: anything but letters and digits, and a change to upper case. */
    private static final Pattern WORD =
            Pattern.compile("[^A-Za-z0-9]+|(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])");

    private static final Pattern EMA = Pattern.compile("(?i)ema\\d*");

    /** Families of networks. */
    public enum Family {
        /** A scalable interpolant transformer: one time. */
        SIT("SiT"),
        /** A decoupled mean flow: the same parameters as SiT's, of a flow map. */
        DMF("DMF"),
        /** A meta flow map: three times, a context and guidance. */
        MFM("MFM"),
        /** Another network of this library. */
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
     * Finds the network in a file. Of several copies it chooses the averaged one: its path has the word ema, or it is
     * beside {@code n_averaged}, or, in files of Lightning's WeightAveraging, it is in {@code state_dict}.
     *
     * @return empty if there is no network of a known family
     * @throws IOException if there are several networks and none can be chosen
     */
    public static Optional<CheckpointLayout> detect(TensorFile file) throws IOException {
        List<String> prefixes = prefixes(file);
        if (prefixes.size() > MOST_NETWORKS) {
            throw new IOException("the file has more than " + MOST_NETWORKS + " networks: choose one by its prefix");
        }
        List<String> best = averaged(file, prefixes);
        if (best.size() > 1 && best.stream().skip(1).allMatch(other -> same(file, best.getFirst(), other))) {
            return Optional.of(at(file, best.getFirst()));
        }
        if (best.size() > 1) {
            throw new IOException("the file has " + best.size() + (prefixes.size() == best.size() ? "" : " averaged")
                    + " networks, under the prefixes " + best + ": choose one by its prefix");
        }
        if (best.size() == 1) {
            return Optional.of(at(file, best.getFirst()));
        }
        boolean ours = file.entries().keySet().stream().anyMatch(name -> name.startsWith(NetworkFile.PREFIX));
        return ours ? Optional.of(new CheckpointLayout(Family.OTHER, NetworkFile.PREFIX)) : Optional.empty();
    }

    /**
     * Returns the network under a prefix given by the user, with or without its last dot.
     *
     * @throws IOException if no tensor's name begins with the prefix
     */
    public static CheckpointLayout chosen(TensorFile file, String prefix) throws IOException {
        Set<String> names =
                Sets.union(file.entries().keySet(), file.unreadable().keySet());
        String dotted = prefix + ".";
        boolean asGiven =
                prefix.isEmpty() || prefix.endsWith(".") || names.stream().noneMatch(name -> name.startsWith(dotted));
        String before = asGiven ? prefix : dotted;
        if (names.stream().noneMatch(name -> name.startsWith(before))) {
            List<String> networks = prefixes(file);
            throw new IOException("no tensor's name begins with the prefix '" + prefix + "'; "
                    + (networks.isEmpty()
                            ? "the file has no network of a known layout"
                            : "its networks are under the prefixes " + networks));
        }
        return at(file, before);
    }

    /** Returns the text before each network's names in a file, also for a network whose tensors cannot be read. */
    public static List<String> prefixes(TensorFile file) {
        List<String> found = new ArrayList<>();
        for (String name :
                Iterables.concat(file.entries().keySet(), file.unreadable().keySet())) {
            int at = name.lastIndexOf(FIRST_PART);
            boolean begins = at >= 0 && (at == 0 || name.charAt(at - 1) == '.');
            if (begins && bare(name.substring(at)).equals(FIRST)) {
                found.add(name.substring(0, at));
            }
            if (found.size() > MOST_NETWORKS) {
                break;
            }
        }
        // An optimiser may store its moments under the parameters' names.
        List<String> networks =
                found.stream().filter(prefix -> !STATE.matcher(prefix).find()).toList();
        return networks.isEmpty() ? found : networks;
    }

    private static List<String> averaged(TensorFile file, List<String> prefixes) {
        List<String> left = new ArrayList<>(prefixes);
        left.removeIf(prefix -> prefix.startsWith(RAW) && prefixes.contains(AVERAGE + prefix.substring(RAW.length())));
        String common = left.stream().reduce(Strings::commonPrefix).orElse("");
        int shared = common.lastIndexOf('.') + 1;
        // If all paths have the word, compare the text after it.
        for (int from : shared > 0 && left.size() > 1 ? new int[] {shared, 0} : new int[] {0}) {
            List<String> named = left.stream()
                    .filter(prefix -> hasWord(prefix.substring(from)))
                    .toList();
            if (!named.isEmpty()) {
                return named;
            }
        }
        List<String> counted = left.stream()
                .filter(prefix -> prefix.endsWith("module.")
                        && file.entries()
                                .containsKey(prefix.substring(0, prefix.length() - "module.".length()) + "n_averaged"))
                .toList();
        return counted.isEmpty() ? left : counted;
    }

    /**
     * Returns true if a path has the word ema: {@code ema.}, {@code model_ema.}, {@code stateDictEMA.}, not
     * {@code cinema.}.
     */
    private static boolean hasWord(String path) {
        return WORD.splitAsStream(path).anyMatch(word -> EMA.matcher(word).matches());
    }

    /** Returns true if the tensors under two prefixes share the same memory. */
    private static boolean same(TensorFile file, String prefix, String other) {
        Map<String, String> names = at(file, prefix).names(file);
        Map<String, String> others = at(file, other).names(file);
        return names.keySet().equals(others.keySet())
                && names.entrySet().stream()
                        .allMatch(name -> file.entries().get(name.getValue()) instanceof PyTorchFile.Entry one
                                && file.entries().get(others.get(name.getKey())) instanceof PyTorchFile.Entry two
                                && one.begin() == two.begin()
                                && one.dtype() == two.dtype()
                                && one.shape().equals(two.shape())
                                && one.strides().equals(two.strides())
                                && one.negated() == two.negated());
    }

    /** Returns a name without the parts of module wrappers. */
    private static String bare(String name) {
        return Splitter.on('.')
                .splitToStream(name)
                .filter(part -> !WRAPPERS.contains(part))
                .collect(Collectors.joining("."));
    }

    /** Returns the layout of the tensors under a prefix. */
    public static CheckpointLayout at(TensorFile file, String prefix) {
        Set<String> names = new HashSet<>();
        boolean dmf = false;
        for (String name :
                Iterables.concat(file.entries().keySet(), file.unreadable().keySet())) {
            dmf |= Splitter.on('.').splitToStream(name).anyMatch(LOSS_PART::equals);
            if (name.startsWith(prefix)) {
                names.add(bare(name.substring(prefix.length())));
            }
        }
        Family family = !names.contains(FIRST)
                ? Family.OTHER
                : names.contains("t_cond_embedder.mlp.0.weight") ? Family.MFM : dmf ? Family.DMF : Family.SIT;
        return new CheckpointLayout(family, prefix);
    }

    /**
     * Returns the direction of time if the names show it: from data to noise for a DMF. Other names do not show it.
     *
     * @return {@code is_zero_data} of the network; empty if the names do not show it
     */
    public Optional<Boolean> zeroData() {
        return family == Family.DMF ? Optional.of(true) : Optional.empty();
    }

    /** Returns the network's tensors: names in the file by names in the network, in the file's order. */
    public Map<String, String> names(TensorFile file) {
        return under(file, file.entries().keySet());
    }

    /** Returns the network's unreadable tensors: names in the file with the reasons, by names in the network. */
    public Map<String, String> unreadable(TensorFile file) {
        Map<String, String> reasons = new LinkedHashMap<>();
        under(file, file.unreadable().keySet())
                .forEach((name, inFile) -> reasons.put(
                        name, inFile + " cannot be read: " + file.unreadable().get(inFile)));
        return reasons;
    }

    private Map<String, String> under(TensorFile file, Set<String> all) {
        List<String> inner = family == Family.OTHER
                ? List.of()
                : prefixes(file).stream()
                        .filter(other -> other.length() > prefix.length() && other.startsWith(prefix))
                        .toList();
        Map<String, String> names = new LinkedHashMap<>();
        for (String name : all) {
            if (!name.startsWith(prefix) || inner.stream().anyMatch(name::startsWith)) {
                continue;
            }
            String given = name.substring(prefix.length());
            String plain = family == Family.OTHER ? given : bare(given);
            String first = plain.substring(0, Math.max(0, (plain + ".").indexOf('.')));
            if (first.equals(LOSS_PART)
                    || (family != Family.OTHER && !PARTS.contains(first) && isBeside(file, name, first))) {
                continue;
            }
            // If two names map to one tensor of the network, report the second as unexpected.
            if (names.putIfAbsent(plain, name) != null) {
                names.put(given + " (again)", name);
            }
        }
        return names;
    }

    /** Returns true for counters and training state beside the network's tensors. */
    private static boolean isBeside(TensorFile file, String name, String first) {
        TensorFile.Entry entry = file.entries().get(name);
        return entry == null || entry.shape().dim() == 0 || STATE.matcher(first).find();
    }

    @Override
    public String toString() {
        return family + (prefix.isEmpty() ? ", names without a prefix" : ", names under '" + prefix + "'");
    }
}
