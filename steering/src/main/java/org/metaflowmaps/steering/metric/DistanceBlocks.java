package org.metaflowmaps.steering.metric;

import java.util.ArrayList;
import java.util.List;
import java.util.function.Supplier;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.runtime.Workers;

/**
 * Squared distances of all pairs of feature vectors, in float64, of which only blocks exist at a time. On the CPU, blocks
 * of rows are shared out over threads.
 *
 * @param device computes
 * @param rows of a block
 * @param columns of a block
 */
record DistanceBlocks(Device device, long rows, long columns) {
    /** Uses blocks of 16 MiB. */
    DistanceBlocks(Device device) {
        this(device, 1024, 2048);
    }

    /**
     * Returns the squared distance of each vector to its k-th nearest other one.
     *
     * @param features (N, width), N above {@code neighbours}
     * @return (N) float64 on the device
     */
    Tensor radii(Tensor features, int neighbours) {
        try (TensorScope scope = TensorScope.open()) {
            List<List<Tensor>> parts =
                    byRows(features, (from, size) -> List.of(farthest(features, from, size, neighbours)));
            return scope.keep(Torch.cat(0, first(parts)));
        }
    }

    private Tensor farthest(Tensor features, long from, long size, int neighbours) {
        Rows block = new Rows(exact(features, from, size));
        Tensor best = Torch.full(Double.POSITIVE_INFINITY, DType.FLOAT64, device, size, neighbours);
        for (long at = 0; at < features.size(0); at += columns) {
            try (TensorScope scope = TensorScope.open()) {
                long width = Math.min(columns, features.size(0) - at);
                Tensor distances = block.to(exact(features, at, width));
                if (at < from + size && from < at + width) {
                    Tensor itself = numbers(from, size).unsqueeze(1).eq(numbers(at, width));
                    distances = distances.maskedFill(itself, Double.POSITIVE_INFINITY);
                }
                Tensor nearest =
                        distances.topk(Math.min(neighbours, width), 1, false).values();
                best.copy_(
                        Torch.cat(1, best, nearest).topk(neighbours, 1, false).values());
            }
        }
        // Rounding may leave a distance of equal vectors below 0.
        return best.amax(1).clampMin(0);
    }

    /**
     * Returns how far each vector is inside the balls around others.
     *
     * @param radii of the balls, squared, (M)
     * @param centres (M, width)
     * @param points (N, width)
     * @param pointRadii of balls around the points, squared, (N)
     * @return the largest of squared radius minus squared distance: of the points in the balls around the centres (N),
     *     and of the centres in the balls around the points (M); 0 or more is inside
     */
    Tensor[] margins(Tensor points, Tensor pointRadii, Tensor centres, Tensor radii) {
        try (TensorScope scope = TensorScope.open()) {
            List<List<Tensor>> parts = byRows(
                    points,
                    (from, size) -> margins(
                            new Rows(exact(points, from, size)), pointRadii.narrow(0, from, size), centres, radii));
            Tensor covered = parts.getFirst().get(1);
            for (List<Tensor> part : parts) {
                covered = covered.maximum(part.get(1));
            }
            return new Tensor[] {scope.keep(Torch.cat(0, first(parts))), scope.keep(covered)};
        }
    }

    private List<Tensor> margins(Rows block, Tensor own, Tensor centres, Tensor radii) {
        Tensor inside = Torch.full(Double.NEGATIVE_INFINITY, DType.FLOAT64, device, own.size(0));
        Tensor covered = Torch.empty(DType.FLOAT64, device, centres.size(0));
        for (long at = 0; at < centres.size(0); at += columns) {
            try (TensorScope scope = TensorScope.open()) {
                long width = Math.min(columns, centres.size(0) - at);
                Tensor distances = block.to(exact(centres, at, width));
                covered.narrow(0, at, width)
                        .copy_(own.unsqueeze(1).sub(distances).amax(0));
                Tensor most = radii.narrow(0, at, width).sub(distances).amax(1);
                inside.copy_(inside.maximum(most));
            }
        }
        return List.of(inside, covered);
    }

    /** Computes tensors for each block of rows. */
    private interface Block {
        List<Tensor> of(long from, long size);
    }

    private List<List<Tensor>> byRows(Tensor features, Block body) {
        List<Supplier<List<Tensor>>> tasks = new ArrayList<>();
        for (long at = 0; at < features.size(0); at += rows) {
            long from = at;
            tasks.add(() -> {
                try (TensorScope scope = TensorScope.open()) {
                    List<Tensor> results = body.of(from, Math.min(rows, features.size(0) - from));
                    results.forEach(scope::keep);
                    return results;
                }
            });
        }
        return device.type() == Device.Type.CPU
                ? Workers.map(tasks)
                : tasks.stream().map(Supplier::get).toList();
    }

    private static Tensor[] first(List<List<Tensor>> parts) {
        return parts.stream().map(List::getFirst).toArray(Tensor[]::new);
    }

    private Tensor numbers(long from, long count) {
        return Torch.arange(from + count).narrow(0, from, count).to(device);
    }

    private Tensor exact(Tensor features, long from, long size) {
        return features.narrow(0, from, size).to(device).to(DType.FLOAT64);
    }

    /** Vectors whose distances are wanted: |x|² and -2x. */
    private record Rows(Tensor squares, Tensor negative) {
        Rows(Tensor vectors) {
            this(vectors.square().sumKeepDim(1), vectors.mul(-2));
        }

        /** Returns |x|² - 2x·y + |y|² of all pairs; rounding may leave it slightly below 0. */
        Tensor to(Tensor others) {
            return negative.matmul(others.transpose(0, 1))
                    .add_(squares)
                    .add_(others.square().sum(1));
        }
    }
}
