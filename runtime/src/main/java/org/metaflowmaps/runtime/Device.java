package org.metaflowmaps.runtime;

import java.util.Locale;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.bytedeco.pytorch.global.torch;
import org.metaflowmaps.bindings.ComputeStream;
import org.metaflowmaps.bindings.Libtorch;

/**
 * The device that holds a tensor's memory and runs its operations.
 *
 * @param type the kind of device
 * @param index the index among devices of its kind; 0 for the CPU
 */
public record Device(Type type, int index) {
    /** The kinds of device, with libtorch's codes ({@code c10::DeviceType}). */
    public enum Type {
        /** The processor and its memory. */
        CPU(0),
        /** An NVIDIA GPU. */
        CUDA(1);

        private final int code;

        Type(int code) {
            this.code = code;
        }

        /** libtorch's number for this kind. */
        public int code() {
            return code;
        }
    }

    /** The processor. */
    public static final Device CPU = new Device(Type.CPU, 0);

    private static final Pattern FORM = Pattern.compile("(cpu|cuda)(?::([0-9]{1,2}))?");

    /** Checks the index. */
    public Device {
        if (index < 0 || index > 63 || (type == Type.CPU && index != 0)) {
            throw new IllegalArgumentException(
                    "no device " + type.name().toLowerCase(Locale.ROOT) + ":" + index + ": use cpu, cuda or cuda:N");
        }
    }

    /** The GPU of that index, counted from 0. */
    public static Device cuda(int index) {
        return new Device(Type.CUDA, index);
    }

    /**
     * Parses a device in PyTorch's notation.
     *
     * @param text {@code cpu}, {@code cuda} (the first GPU) or {@code cuda:N}
     * @throws IllegalArgumentException for anything else
     */
    public static Device parse(String text) {
        Matcher form = FORM.matcher(text);
        if (!form.matches()) {
            throw new IllegalArgumentException("'" + text + "' is not a device: use cpu, cuda or cuda:N");
        }
        int index = form.group(2) == null ? 0 : Integer.parseInt(form.group(2));
        return new Device(form.group(1).equals("cpu") ? Type.CPU : Type.CUDA, index);
    }

    /** Returns the first GPU if libtorch can use one, else the CPU. */
    public static Device preferred() {
        Libtorch.load();
        return torch.cuda_is_available() ? cuda(0) : CPU;
    }

    /**
     * Returns this device if tensors can be made on it. All work on a GPU then runs on one stream of its own
     * ({@link ComputeStream}).
     *
     * @throws IllegalArgumentException with the reason if not
     */
    public Device available() {
        Libtorch.load();
        if (type == Type.CUDA) {
            if (!Libtorch.info().cudaBuild()) {
                throw new IllegalArgumentException(this + " cannot be used: this libtorch was built without CUDA; "
                        + "use cpu, or libtorch's CUDA build (-Pcuda)");
            }
            int count = torch.cuda_is_available() ? torch.cuda_device_count() : 0;
            if (index >= count) {
                throw new IllegalArgumentException(this + " cannot be used: libtorch sees " + count
                        + " GPUs: check the driver, and that libtorch's CUDA libraries load");
            }
            ComputeStream.use(index);
        }
        return this;
    }

    static Device ofCodes(int type, int index) {
        return switch (type) {
            case 0 -> CPU;
            case 1 -> cuda(Math.max(0, index));
            default ->
                throw new IllegalArgumentException("libtorch's device type " + type + " is not supported here: "
                        + "move the tensor to the CPU or to CUDA first");
        };
    }

    @Override
    public String toString() {
        return type == Type.CPU ? "cpu" : "cuda:" + index;
    }
}
