package org.metaflowmaps.models.vision;

import java.io.IOException;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.models.model.Network;
import org.metaflowmaps.models.vision.image.ByteImage;
import org.metaflowmaps.models.vision.image.CropGeometry;
import org.metaflowmaps.models.vision.image.Filter;
import org.metaflowmaps.models.vision.image.FloatImage;
import org.metaflowmaps.models.vision.image.TensorResize;
import org.metaflowmaps.models.vision.image.TensorResize.Mode;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.ParameterArena;
import org.metaflowmaps.runtime.Tensor;
import tools.jackson.databind.JsonNode;

/** The reference cases of resizing and cropping, which have no network. */
final class ResizeCases implements ReferenceCases {
    private final ReferenceFile file;

    ResizeCases(ReferenceFile file) {
        this.file = file;
    }

    @Override
    public @Nullable Map<String, Tensor> compute(ReferenceFile.Case test) throws IOException {
        JsonNode numbers = test.numbers();
        int height = numbers.path("height").asInt(0);
        int width = numbers.path("width").asInt(0);
        int size = numbers.path("size").asInt(0);
        Map<String, Tensor> outputs = new LinkedHashMap<>();
        switch (numbers.path("operation").asString("")) {
            case "pillow" -> {
                for (JsonNode each : numbers.path("filters")) {
                    String name = each.asString("");
                    outputs.put(
                            name,
                            pixels(
                                    bytes(test)
                                            .resize(height, width, filter(name))
                                            .tensor(),
                                    test));
                }
            }
            case "pillow_float" -> {
                Tensor stored = test.stored("image");
                FloatImage image = FloatImage.of(
                        new float[][] {stored.toFloatArray()},
                        Math.toIntExact(stored.size(0)),
                        Math.toIntExact(stored.size(1)));
                for (JsonNode each : numbers.path("filters")) {
                    String name = each.asString("");
                    outputs.put(
                            name,
                            pixels(image.resize(height, width, filter(name)).tensor(), test));
                }
            }
            case "clean_fid" ->
                outputs.put(
                        "result",
                        pixels(bytes(test).floats().cleanFid(height, width).tensor(), test));
            case "torch" -> {
                Mode mode = Mode.valueOf(numbers.path("mode").asString("").toUpperCase(Locale.ROOT)
                        + (numbers.path("antialias").asBoolean() ? "_ANTIALIASED" : ""));
                Tensor images = test.in("image").detach().requiresGrad_(true);
                return differentiated(test, images, TensorResize.resize(images, height, width, mode));
            }
            case "torchvision_tensor" -> {
                Mode mode = Mode.valueOf(numbers.path("filter").asString("").toUpperCase(Locale.ROOT)
                        + (numbers.path("antialias").asBoolean() ? "_ANTIALIASED" : ""));
                Tensor images = test.in("image").detach().requiresGrad_(true);
                return differentiated(test, images, TensorResize.torchvisionCrop(images, size, mode));
            }
            case "tensorflow1" -> outputs.put("result", TensorResize.tensorflow1(test.in("image"), height, width));
            case "torchvision" -> {
                ByteImage image = bytes(test);
                Filter filter = filter(numbers.path("filter").asString(""));
                CropGeometry geometry = CropGeometry.torchvision(image.height(), image.width(), size);
                ByteImage resized =
                        image.resize(Math.toIntExact(geometry.height()), Math.toIntExact(geometry.width()), filter);
                outputs.put("resized", pixels(resized.tensor(), test));
                outputs.put("result", pixels(image.torchvisionCrop(size, filter).tensor(), test));
            }
            case "adm_crop" -> {
                Tensor result = pixels(bytes(test).admCrop(size).tensor(), test);
                outputs.put("result", result);
                outputs.put("scaled", result.to(file.type()).div(127.5).sub(1));
            }
            default -> {
                return null;
            }
        }
        return outputs;
    }

    private static Map<String, Tensor> differentiated(ReferenceFile.Case test, Tensor images, Tensor result)
            throws IOException {
        Tensor gradient = Autograd.gradients(result, List.of(images), test.in("cotangent"))
                .getFirst();
        return Map.of("result", result.detach(), "gradient", gradient);
    }

    private static Filter filter(String name) {
        return Filter.valueOf(name.toUpperCase(Locale.ROOT));
    }

    private static ByteImage bytes(ReferenceFile.Case test) throws IOException {
        Tensor stored = test.stored("image");
        return ByteImage.ofPixels(
                ClipImages.bytes(stored),
                Math.toIntExact(stored.size(0)),
                Math.toIntExact(stored.size(1)),
                stored.dim() == 2 ? 1 : Math.toIntExact(stored.size(2)));
    }

    /** Puts the channels last, as in the input, or removes the only one. */
    private static Tensor pixels(Tensor planes, ReferenceFile.Case test) throws IOException {
        return test.stored("image").dim() == 2 ? planes.squeeze(0) : planes.permute(1, 2, 0);
    }

    @Override
    public @Nullable Network other(String name) {
        return null;
    }

    @Override
    public ParameterArena own(Network other) {
        throw new IllegalStateException("resizing has no network");
    }
}
