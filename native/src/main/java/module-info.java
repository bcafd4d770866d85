// CUDA kernels as source. Open, because another module reads them as resources.
open module org.metaflowmaps.kernels {}
