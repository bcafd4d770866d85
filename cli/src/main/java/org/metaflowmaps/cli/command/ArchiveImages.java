package org.metaflowmaps.cli.command;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.file.NpzArray;
import org.metaflowmaps.runtime.file.NpzFile;

/** The images {@code arr_0} of a NumPy archive: uint8 (N, H, W, 3), or grey ones (N, H, W, 1) or (N, H, W). */
final class ArchiveImages implements ImageSource {
    private static final int SKIPPED = 500;

    private final Path path;
    private final NpzFile file;
    private final NpzArray pixels;
    private final boolean grey;

    ArchiveImages(Path path) throws IOException {
        this.path = path;
        this.file = NpzFile.open(path);
        try {
            this.pixels = file.array(SampleArchive.IMAGES);
            try {
                Shape shape = pixels.shape();
                int channels = shape.dim() == 4 ? (int) shape.size(3) : shape.dim() == 3 ? 1 : 0;
                if (pixels.dtype() != DType.UINT8 || (channels != 1 && channels != 3) || shape.numel() == 0) {
                    throw new IOException(path + ": " + SampleArchive.IMAGES + " is " + pixels.dtype() + " " + shape
                            + ", expected images, uint8 of a shape of (N, H, W, 3)"
                            + (pixels.dtype().isFloatingPoint() ? ": round them to 0 to 255 first" : ""));
                }
                this.grey = channels == 1;
            } catch (IOException | RuntimeException e) {
                pixels.close();
                throw e;
            }
        } catch (IOException | RuntimeException e) {
            file.close();
            throw e;
        }
    }

    @Override
    public String name() {
        Shape shape = pixels.shape();
        return path + ": " + shape.size(0) + " images of " + shape.size(1) + " x " + shape.size(2);
    }

    @Override
    public String identity() throws IOException {
        return "archive of " + pixels.shape() + ", " + Files.size(path) + " bytes, checksum "
                + Long.toHexString(pixels.checksum());
    }

    @Override
    public String quantisation() {
        return "uint8 as stored" + (grey ? ", grey repeated" : "");
    }

    @Override
    public List<String> notes() {
        return List.of();
    }

    @Override
    public long count() {
        return pixels.shape().size(0);
    }

    @Override
    public List<Tensor> next(int most) throws IOException {
        try (TensorScope scope = TensorScope.open()) {
            Tensor rows = pixels.next(most);
            Tensor planes = rows.dim() == 3
                    ? rows.unsqueeze(1)
                    : rows.permute(0, 3, 1, 2).contiguous();
            return List.of(scope.keep(grey ? planes.repeat(1, 3, 1, 1) : planes));
        }
    }

    @Override
    public void skip(int images) throws IOException {
        for (int left = images; left > 0; left -= SKIPPED) {
            try (TensorScope scope = TensorScope.open()) {
                pixels.next(Math.min(left, SKIPPED));
            }
        }
    }

    @Override
    public void close() throws IOException {
        try (NpzFile closing = file) {
            pixels.close();
        }
    }
}
