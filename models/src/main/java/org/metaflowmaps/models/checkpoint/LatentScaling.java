package org.metaflowmaps.models.checkpoint;

import com.google.common.base.Preconditions;
import com.google.common.primitives.Doubles;
import java.util.List;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ObjectNode;

/**
 * How a flow map's latents follow from those of an autoencoder: (z - shift) · scale, with one number for all channels or
 * one for each.
 *
 * @param scale factors above 0
 * @param shift as many numbers as factors
 */
public record LatentScaling(List<Double> scale, List<Double> shift) {
    private static final JsonMapper JSON = JsonMapper.builder().build();
    private static final int MOST_CHANNELS = 1 << 16;

    /** Checks the ranges. */
    public LatentScaling {
        scale = List.copyOf(scale);
        shift = List.copyOf(shift);
        Preconditions.checkArgument(
                !scale.isEmpty() && scale.size() == shift.size() && scale.size() <= MOST_CHANNELS,
                "latents have %s scales and %s shifts, expected one of each, or one of each for every channel",
                scale.size(),
                shift.size());
        for (int i = 0; i < scale.size(); i++) {
            Preconditions.checkArgument(
                    scale.get(i) > 0 && Double.isFinite(scale.get(i)) && Double.isFinite(shift.get(i)),
                    "latents have the scale %s and the shift %s, expected a finite number above 0 and a finite one",
                    scale.get(i),
                    shift.get(i));
        }
    }

    /** Makes a scaling with the same numbers for all channels. */
    public static LatentScaling of(double scale, double shift) {
        return new LatentScaling(List.of(scale), List.of(shift));
    }

    /**
     * Converts an autoencoder's latents to a flow map's.
     *
     * @param latents (batch, channels, height, width), of floating-point numbers
     * @return in the innermost open scope
     */
    public Tensor scaled(Tensor latents) {
        try (TensorScope scope = TensorScope.open()) {
            return scope.keep(latents.sub(numbers(shift, latents)).mul(numbers(scale, latents)));
        }
    }

    /**
     * Converts a flow map's latents to the autoencoder's.
     *
     * @param latents (batch, channels, height, width), of floating-point numbers
     * @return in the innermost open scope
     */
    public Tensor unscaled(Tensor latents) {
        try (TensorScope scope = TensorScope.open()) {
            return scope.keep(latents.div(numbers(scale, latents)).add(numbers(shift, latents)));
        }
    }

    private Tensor numbers(List<Double> values, Tensor latents) {
        Preconditions.checkArgument(
                latents.dim() == 4
                        && latents.dtype().isFloatingPoint()
                        && (values.size() == 1 || latents.size(1) == values.size()),
                "latents are %s, expected floating-point numbers (batch, channels, height, width) with %s channels",
                latents,
                values.size() == 1 ? "any" : values.size());
        return Torch.of(Doubles.toArray(values), 1, values.size(), 1, 1)
                .to(latents.dtype() == DType.FLOAT64 ? DType.FLOAT64 : DType.FLOAT32)
                .to(latents.device());
    }

    /** Returns the JSON object that {@link #of(String)} reads. */
    public String text() {
        ObjectNode json = JSON.createObjectNode();
        scale.forEach(json.putArray("scale")::add);
        shift.forEach(json.putArray("shift")::add);
        return JSON.writeValueAsString(json);
    }

    /**
     * Reads the JSON object of {@link #text}.
     *
     * @throws IllegalArgumentException if it is not one
     */
    public static LatentScaling of(String text) {
        JsonNode json = StrictJson.object(text);
        return new LatentScaling(numbers(json.path("scale"), "scale"), numbers(json.path("shift"), "shift"));
    }

    private static List<Double> numbers(JsonNode list, String name) {
        Preconditions.checkArgument(
                list.isArray() && list.valueStream().allMatch(JsonNode::isNumber),
                "%s is %s, expected a list of numbers",
                name,
                list);
        return list.valueStream().map(JsonNode::asDouble).toList();
    }
}
