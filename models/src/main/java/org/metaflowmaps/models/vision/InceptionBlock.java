package org.metaflowmaps.models.vision;

import java.util.ArrayList;
import java.util.List;
import org.metaflowmaps.models.layer.Weights;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.Torch;

/**
 * A block of the Inception network: branches whose outputs are joined along the channels.
 *
 * @param branches in the order of the joined outputs
 */
record InceptionBlock(List<Branch> branches) {
    private static final double EPS = 1e-3;

    /** What a branch does first. */
    enum Pool {
        NONE,
        /** The mean over 3 x 3 positions of the image itself: padding does not count. */
        MEAN,
        /** The largest of 3 x 3 positions. */
        MAX,
        /** The same with stride 2, without padding. */
        HALVE
    }

    /** A convolution without bias, batch normalisation and ReLU. */
    record Conv(String name, long rows, long columns, long stride, boolean padded) {}

    /** A pool, convolutions one after the other, then alternatives that each take the last output. */
    record Branch(Pool pool, List<Conv> chain, List<Conv> fork) {}

    static final InceptionBlock A = of(
            chain(one("branch1x1")),
            chain(one("branch5x5_1"), same("branch5x5_2", 5, 5)),
            chain(one("branch3x3dbl_1"), same("branch3x3dbl_2", 3, 3), same("branch3x3dbl_3", 3, 3)),
            pooled(Pool.MEAN, one("branch_pool")));

    static final InceptionBlock B = of(
            chain(halved("branch3x3")),
            chain(one("branch3x3dbl_1"), same("branch3x3dbl_2", 3, 3), halved("branch3x3dbl_3")),
            pooled(Pool.HALVE));

    static final InceptionBlock C = of(
            chain(one("branch1x1")),
            chain(one("branch7x7_1"), same("branch7x7_2", 1, 7), same("branch7x7_3", 7, 1)),
            chain(
                    one("branch7x7dbl_1"),
                    same("branch7x7dbl_2", 7, 1),
                    same("branch7x7dbl_3", 1, 7),
                    same("branch7x7dbl_4", 7, 1),
                    same("branch7x7dbl_5", 1, 7)),
            pooled(Pool.MEAN, one("branch_pool")));

    static final InceptionBlock D = of(
            chain(one("branch3x3_1"), halved("branch3x3_2")),
            chain(
                    one("branch7x7x3_1"),
                    same("branch7x7x3_2", 1, 7),
                    same("branch7x7x3_3", 7, 1),
                    halved("branch7x7x3_4")),
            pooled(Pool.HALVE));

    static final InceptionBlock E_MEAN = last(Pool.MEAN);

    /** The last block has a maximum where torchvision's network has a mean. */
    static final InceptionBlock E_MAX = last(Pool.MAX);

    private static InceptionBlock last(Pool pool) {
        return of(
                chain(one("branch1x1")),
                new Branch(
                        Pool.NONE,
                        List.of(one("branch3x3_1")),
                        List.of(same("branch3x3_2a", 1, 3), same("branch3x3_2b", 3, 1))),
                new Branch(
                        Pool.NONE,
                        List.of(one("branch3x3dbl_1"), same("branch3x3dbl_2", 3, 3)),
                        List.of(same("branch3x3dbl_3a", 1, 3), same("branch3x3dbl_3b", 3, 1))),
                pooled(pool, one("branch_pool")));
    }

    private static InceptionBlock of(Branch... branches) {
        return new InceptionBlock(List.of(branches));
    }

    private static Branch chain(Conv... convs) {
        return new Branch(Pool.NONE, List.of(convs), List.of());
    }

    private static Branch pooled(Pool pool, Conv... convs) {
        return new Branch(pool, List.of(convs), List.of());
    }

    private static Conv one(String name) {
        return new Conv(name, 1, 1, 1, false);
    }

    private static Conv same(String name, long rows, long columns) {
        return new Conv(name, rows, columns, 1, true);
    }

    private static Conv halved(String name) {
        return new Conv(name, 3, 3, 2, false);
    }

    /** Adds the tensors of a block; returns the number of its output's channels. */
    long add(Fitting fitting, String name, long in) {
        long out = 0;
        for (Branch branch : branches) {
            long channels = in;
            for (Conv conv : branch.chain()) {
                channels = add(fitting, name + ".", conv, channels);
            }
            long joined = branch.fork().isEmpty() ? channels : 0;
            for (Conv conv : branch.fork()) {
                joined += add(fitting, name + ".", conv, channels);
            }
            out += joined;
        }
        return out;
    }

    /** Adds the tensors of a convolution; returns the number of its output's channels. */
    static long add(Fitting fitting, String prefix, Conv conv, long in) {
        String name = prefix + conv.name();
        long out = fitting.tensor(name + ".conv.weight", Fitting.ANY, in, conv.rows(), conv.columns())[0];
        for (String vector : new String[] {"weight", "bias", "running_mean", "running_var"}) {
            fitting.tensor(name + ".bn." + vector, out);
        }
        return out;
    }

    Tensor forward(Weights block, Tensor input) {
        return ImageLayers.block(input, in -> {
            List<Tensor> outputs = new ArrayList<>();
            for (Branch branch : branches) {
                Tensor x = pool(branch.pool(), in);
                for (Conv conv : branch.chain()) {
                    x = forward(block, conv, x);
                }
                if (branch.fork().isEmpty()) {
                    outputs.add(x);
                }
                for (Conv conv : branch.fork()) {
                    outputs.add(forward(block, conv, x));
                }
            }
            return Torch.cat(1, outputs.toArray(Tensor[]::new));
        });
    }

    private static Tensor pool(Pool pool, Tensor input) {
        return switch (pool) {
            case NONE -> input;
            case MEAN -> Torch.avgPool2d(input, 3, 1, 1, false);
            case MAX -> Torch.maxPool2d(input, 3, 1, 1);
            case HALVE -> Torch.maxPool2d(input, 3, 2, 0);
        };
    }

    static Tensor forward(Weights weights, Conv conv, Tensor input) {
        Weights own = weights.in(conv.name());
        long[] padding = conv.padded() ? new long[] {conv.rows() / 2, conv.columns() / 2} : new long[] {0, 0};
        return ImageLayers.block(
                input,
                x -> Torch.batchNorm(
                                Torch.conv2d(
                                        x,
                                        own.get("conv.weight"),
                                        null,
                                        new long[] {conv.stride(), conv.stride()},
                                        padding,
                                        1),
                                own.get("bn.running_mean"),
                                own.get("bn.running_var"),
                                own.get("bn.weight"),
                                own.get("bn.bias"),
                                EPS)
                        .relu_());
    }
}
