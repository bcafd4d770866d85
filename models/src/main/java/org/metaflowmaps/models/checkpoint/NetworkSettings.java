package org.metaflowmaps.models.checkpoint;

import com.google.common.base.Preconditions;
import java.io.IOException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.models.model.NetworkConfig;
import org.metaflowmaps.models.model.TransformerConfig;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.JsonNodeFactory;
import tools.jackson.databind.node.ObjectNode;

/**
 * Settings of a network that its file does not show, for {@link Networks#open}. Immutable: each method returns a copy
 * with one more setting. Other settings may be given too; they are compared with the file.
 *
 * <p>Names in texts are those of {@link TransformerConfig} in files:
 *
 * <ul>
 *   <li>{@code num_heads}: needed unless queries and keys are normalised (their scales show it), or the width is 384,
 *       768, 1024 or 1152, which has a usual number;
 *   <li>{@code is_zero_data}: needed unless the file is a DMF file;
 *   <li>{@code encoder_depth}: needed for MFM and DMF, unless there are 12 or 28 blocks, which have a usual number;
 *   <li>{@code model_guidance_class_ws} and {@code model_guidance_x_cond_ws}: needed for a guidance table of several
 *   rows;
 *   <li>{@code preserve_t_cond_0}: false unless given.
 * </ul>
 */
public final class NetworkSettings {
    private static final NetworkSettings NONE = new NetworkSettings(JsonNodeFactory.instance.objectNode(), null);
    private static final JsonMapper JSON = JsonMapper.builder().build();
    private static final String HEADS = "num_heads";
    private static final String CLOCK = "is_zero_data";
    private static final String STAGE = "encoder_depth";
    private static final String CLASS_SCALES = "model_guidance_class_ws";
    private static final String CONTEXT_SCALES = "model_guidance_x_cond_ws";
    private static final String OLDER_CONTEXT_SCALES = "model_guidance_x_ws";
    private static final String PRESERVE = "preserve_t_cond_0";
    private static final String RATIO = "mlp_ratio";
    /** Settings that shapes do not show, or not alone. */
    private static final Set<String> OPEN = Set.of(RATIO, HEADS, STAGE, CLASS_SCALES, CONTEXT_SCALES, PRESERVE);

    private final ObjectNode given;
    private final @Nullable String prefix;

    private NetworkSettings(ObjectNode given, @Nullable String prefix) {
        this.given = given;
        this.prefix = prefix;
    }

    /** Returns no settings, for files that show everything. */
    public static NetworkSettings none() {
        return NONE;
    }

    /**
     * Parses settings.
     *
     * @param json an object of settings of a transformer by their names in files, such as
     *     {@code {"num_heads": 6, "is_zero_data": false}}; null for a setting that is not given
     * @throws IllegalArgumentException in one line, if it is not such an object
     */
    public static NetworkSettings parse(String json) {
        JsonNode tree = StrictJson.object(json);
        // Any network will do: it has every setting, with a value of the right type.
        ObjectNode probe = JSON.valueToTree(
                TransformerConfig.builder().inputSize(4).inChannels(1).build());
        Set<String> known = Set.copyOf(probe.propertyNames());
        ObjectNode settings = JsonNodeFactory.instance.objectNode();
        for (String key : tree.propertyNames()) {
            Preconditions.checkArgument(
                    known.contains(key) || key.equals(OLDER_CONTEXT_SCALES),
                    "unknown setting '%s': known here are %s",
                    key,
                    known.stream().sorted().collect(Collectors.joining(", ")));
            JsonNode like = probe.get(key.equals(OLDER_CONTEXT_SCALES) ? CONTEXT_SCALES : key);
            JsonNode value = tree.get(key);
            if (value.isNull()) {
                continue;
            }
            boolean fits = like.isIntegralNumber()
                    ? value.isIntegralNumber()
                    : like.isNumber()
                            ? value.isNumber()
                            : like.isArray()
                                    ? value.isArray() && value.valueStream().allMatch(JsonNode::isNumber)
                                    : like.getNodeType() == value.getNodeType();
            Preconditions.checkArgument(
                    fits,
                    "setting '%s' is %s, expected %s",
                    key,
                    value,
                    like.isIntegralNumber()
                            ? "a whole number"
                            : like.isNumber()
                                    ? "a number"
                                    : like.isArray()
                                            ? "a list of numbers"
                                            : like.isBoolean() ? "true or false" : "a text");
            settings.set(key, value);
        }
        return new NetworkSettings(settings, null);
    }

    /** With {@code num_heads}: attention heads per block, at least 1. */
    public NetworkSettings numHeads(int heads) {
        return with(HEADS, heads);
    }

    /**
     * With {@code is_zero_data}: true for data at time 0 and noise at 1, as in DMF; false for noise at 0, as in SiT.
     */
    public NetworkSettings zeroData(boolean zeroData) {
        return with(CLOCK, zeroData);
    }

    /** With {@code encoder_depth}: blocks of the first stage, from 0 to all. */
    public NetworkSettings encoderDepth(int blocks) {
        return with(STAGE, blocks);
    }

    /**
     * With the guidance scales of the table's rows: {@code model_guidance_class_ws} and
     * {@code model_guidance_x_cond_ws}.
     *
     * @param classScales scales of the classes besides 1
     * @param contextScales scales of the context besides 1; the table has (1 + classes')·(1 + contexts') rows
     */
    public NetworkSettings guidanceScales(List<Double> classScales, List<Double> contextScales) {
        return with(CLASS_SCALES, List.copyOf(classScales)).with(CONTEXT_SCALES, List.copyOf(contextScales));
    }

    /** With {@code preserve_t_cond_0}: true if the network ignores its context exactly at t = 0. */
    public NetworkSettings preserveContextAtZero(boolean preserve) {
        return with(PRESERVE, preserve);
    }

    /**
     * Chooses one of several networks in a file by its prefix.
     *
     * @param text the prefix of {@code x_embedder.proj.weight}, with its dot, such as {@code ema.}; empty for none
     */
    public NetworkSettings prefix(String text) {
        return new NetworkSettings(given, Preconditions.checkNotNull(text, "network settings: prefix is null"));
    }

    /** Returns the prefix, if it was given. */
    Optional<String> prefix() {
        return Optional.ofNullable(prefix);
    }

    private NetworkSettings with(String key, Object value) {
        ObjectNode more = given.deepCopy();
        more.set(key, JSON.valueToTree(value));
        return new NetworkSettings(more, prefix);
    }

    /**
     * Checks the settings against a file that contains its network's settings.
     *
     * @throws IllegalArgumentException if a setting differs
     */
    NetworkConfig agreed(NetworkConfig own) {
        ObjectNode says = JSON.valueToTree(own);
        for (Map.Entry<String, JsonNode> setting : renamed().properties()) {
            requireSame(setting, says.get(setting.getKey()), "the file says ");
        }
        return own;
    }

    /**
     * Returns the settings of a public file's network: from its shapes, and the rest from these settings.
     *
     * @param where the file's name in messages
     * @throws MissingSettingsException if a setting is in neither
     * @throws IllegalArgumentException if the shapes and settings contradict each other
     */
    TransformerConfig completed(InferredConfig shown, String where) throws IOException {
        ObjectNode network = JSON.valueToTree(shown.partly());
        for (Map.Entry<String, JsonNode> setting : renamed().properties()) {
            boolean free = OPEN.contains(setting.getKey())
                    || (setting.getKey().equals(CLOCK) && shown.zeroData().isEmpty());
            if (!free) {
                requireSame(setting, network.get(setting.getKey()), "the file's tensors show ");
            }
            network.set(setting.getKey(), setting.getValue());
        }
        requireAll(missing(shown), where, shown);
        TransformerConfig whole = StrictJson.read(network.toString(), TransformerConfig.class);
        Preconditions.checkArgument(
                whole.hiddenSize() * whole.mlpRatio() - shown.hiddenWidth() < 1
                        && whole.hiddenSize() * whole.mlpRatio() >= shown.hiddenWidth(),
                "setting '%s' is %s, but the file's tensors show %s hidden units " + "for a width of %s: leave it out",
                RATIO,
                whole.mlpRatio(),
                shown.hiddenWidth(),
                shown.hiddenSize());
        Preconditions.checkArgument(
                shown.headsOfNorms().isEmpty() || shown.headsOfNorms().getAsInt() == whole.numHeads(),
                "setting '%s' is %s, but the file's tensors show %s: leave it out",
                HEADS,
                whole.numHeads(),
                shown.headsOfNorms());
        Preconditions.checkArgument(
                shown.guidanceRows() == 0 || shown.guidanceRows() == whole.guidanceRows(),
                "settings '%s' %s and '%s' %s make a guidance table of %s rows, but the file's has %s",
                CLASS_SCALES,
                whole.classScales(),
                CONTEXT_SCALES,
                whole.contextScales(),
                whole.guidanceRows(),
                shown.guidanceRows());
        return whole;
    }

    private ObjectNode renamed() {
        ObjectNode now = given.deepCopy();
        JsonNode older = now.remove(OLDER_CONTEXT_SCALES);
        if (older != null) {
            now.set(CONTEXT_SCALES, older);
        }
        return now;
    }

    /** Returns the settings that neither the file nor the user gives, with their meanings. */
    private Map<String, String> missing(InferredConfig shown) {
        Map<String, String> missing = new LinkedHashMap<>();
        boolean meta = shown.family() == CheckpointLayout.Family.MFM;
        if (shown.numHeads().isEmpty() && !given.has(HEADS)) {
            missing.put(HEADS, "attention heads per block, a divisor of the width " + shown.hiddenSize());
        }
        if (shown.zeroData().isEmpty() && !given.has(CLOCK)) {
            missing.put(CLOCK, "true for data at time 0 and noise at 1, as in DMF; false for noise at 0, as in SiT");
        }
        if (shown.family() != CheckpointLayout.Family.SIT
                && shown.encoderDepth().isEmpty()
                && !given.has(STAGE)) {
            missing.put(STAGE, "blocks of the first stage, 0 to " + shown.depth());
        }
        if (meta
                && shown.guidanceRows() > 1
                && !given.has(CLASS_SCALES)
                && !renamed().has(CONTEXT_SCALES)) {
            missing.put(
                    CLASS_SCALES,
                    "list of the class guidance scales besides 1; with " + CONTEXT_SCALES
                            + ", those of the context, they make " + "the table's " + shown.guidanceRows()
                            + " rows: (1 + classes')·(1 + contexts')");
        }
        return missing;
    }

    private static void requireAll(Map<String, String> missing, String where, InferredConfig shown) throws IOException {
        if (!missing.isEmpty()) {
            List<String> lines = new ArrayList<>();
            missing.forEach((key, meaning) -> lines.add(key + " (" + meaning + ")"));
            throw new MissingSettingsException(
                    where + " does not show " + (missing.size() == 1 ? "a setting" : missing.size() + " settings")
                            + " of its " + shown.family() + " network, which " + (missing.size() == 1 ? "has" : "have")
                            + " to be given: "
                            + String.join("; ", lines) + ". Its tensors show: " + shown,
                    List.copyOf(missing.keySet()));
        }
    }

    private static void requireSame(Map.Entry<String, JsonNode> setting, @Nullable JsonNode shown, String source) {
        JsonNode value = setting.getValue();
        Preconditions.checkArgument(
                shown != null && same(value, shown),
                "setting '%s' is %s, but %s%s: leave it out",
                setting.getKey(),
                value,
                source,
                shown == null ? "a network without it" : shown);
    }

    /** Numbers may be written with or without a point. */
    private static boolean same(JsonNode left, JsonNode right) {
        if (left.isNumber() && right.isNumber()) {
            return left.asDouble() == right.asDouble();
        }
        if (!left.isArray() || !right.isArray()) {
            return left.equals(right);
        }
        return left.size() == right.size()
                && IntStream.range(0, left.size()).allMatch(i -> same(left.get(i), right.get(i)));
    }

    @Override
    public String toString() {
        return given + (prefix == null ? "" : " under '" + prefix + "'");
    }
}
